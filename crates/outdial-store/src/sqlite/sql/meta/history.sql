SELECT applied_on, checksum FROM refinery_schema_history
