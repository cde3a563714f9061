SELECT count(*) FROM live
