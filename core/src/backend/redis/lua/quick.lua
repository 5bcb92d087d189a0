-- Grants the lock, with a last 'NX' only if it is free, unless something is odd: the fence. Else nil,
-- and it is not held by this token.
-- Put in at the line `--@quick`; expects `local call = redis.call`.
local function quick_grant(token, ttl, label, time, ...)
  -- Taken, and recorded, before a look at what was there: each look would be a command more.
  local taken = redis.pcall('SET', KEYS[1], token, 'PX', ttl, ...)
  if not taken or taken.err then return nil end
  local fence = time[1] .. string.sub('00000' .. time[2], -6)
  local record = fence .. ' ' .. ttl .. ' ' .. token .. ' ' .. label
  -- The server turns numbers into strings more slowly than Lua's parser.
  local last = redis.pcall('SET', KEYS[2], record, 'PX', '604800000', 'GET')
  -- Fences of 16 digits are ordered as their texts are.
  if not last or type(last) == 'string' and string.byte(last, 17) == 32 and last < fence then return fence end
  if type(last) == 'string' then
    -- Put back, for as long as it is ahead of the clock and a week more, as in record_grant().
    local ahead = (tonumber(string.match(last, '^%d+')) or 0) / 1000 - time[1] * 1000
    local life = 604800000 + math.min(math.max(0, ahead), 9007199254740)
    call('SET', KEYS[2], last, 'PX', string.format('%.0f', life))
  end
  call('DEL', KEYS[1])
end
