-- diagnose  KEYS: L  reply: the commands that this user may not run, as ACL rules name them. Changes nothing.
-- For Redis before 7.2, which says that a script lacks a permission, but not which.
local absent = KEYS[1] .. ':fl:-'
if redis.pcall('EXISTS', absent) == 1 then return {} end
local tried = {
  {'exists', absent}, {'get', absent}, {'pttl', absent}, {'time'},
  {'hexists', absent, '-'}, {'hget', absent, '-'}, {'hmget', absent, '-'},
  {'zcard', absent}, {'zrange', absent, '0', '0'}, {'zrank', absent, '-'}, {'zscore', absent, '-'},
  {'del', absent}, {'hdel', absent, '-'}, {'zrem', absent, '-'},
  {'publish', 'fl:c:-', '-'}, {'pubsub|numsub', 'fl:c:-'},
  -- Refused for what they say, but only after the permission was looked at.
  {'set', absent, '-', 'NX', 'XX'}, {'pexpire', absent, '-'},
  {'hset', absent, '-', '-', '-'}, {'zadd', absent, '-', '-'},
}
local missing = {}
for _, try in ipairs(tried) do
  local command = {}
  for word in string.gmatch(try[1], '[^|]+') do command[#command + 1] = word end
  for i = 2, #try do command[#command + 1] = try[i] end
  local told = redis.pcall(unpack(command))
  if type(told) == 'table' and told.err and string.find(told.err, 'run this command', 1, true) then
    missing[#missing + 1] = try[1]
  end
end
return missing
