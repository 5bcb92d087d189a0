-- Grants the lock if it is free and nothing is odd: the fence. Else nil, and it is not held by this.
-- Put in at the line `--@quick`; expects `local call = redis.call`.
local function quick_grant(token, ttl, label, time)
  -- Taken first, for a look costs as much.
  local taken = redis.pcall('SET', KEYS[1], token, 'NX', 'PX', ttl)
  if not taken or taken.err then return nil end
  local record = redis.pcall('GET', KEYS[2])
  local fence = time[1] .. string.sub('00000' .. time[2], -6)
  -- Fences of 16 digits are ordered as their texts are.
  if not record or type(record) == 'string' and string.byte(record, 17) == 32 and record < fence then
    record = fence .. ' ' .. ttl .. ' ' .. token .. ' ' .. label
    -- The server turns numbers into strings more slowly than Lua's parser.
    if redis.pcall('SET', KEYS[2], record, 'PX', '604800000').ok then return fence end
  end
  call('DEL', KEYS[1])
end
