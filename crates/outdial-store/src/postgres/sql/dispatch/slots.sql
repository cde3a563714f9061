SELECT kind, line, slots FROM dispatch_slots WHERE workspace = $1
