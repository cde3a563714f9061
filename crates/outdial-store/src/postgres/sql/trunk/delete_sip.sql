DELETE FROM trunk_sip WHERE trunk = $1
