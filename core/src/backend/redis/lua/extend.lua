-- extend | KEYS L f | ARGV token ttl | 1 · 0 not held
local call = redis.call
local L, F, token, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if call('GET', L) ~= token then return 0 end

local remaining = call('PTTL', L)
local record = redis.pcall('GET', F)
if type(record) == 'string' then
  local fence, recorded, owner, label = string.match(record, '^(%d+) (%d+) (%S+) ?(.*)')
  recorded = tonumber(recorded)
  -- What is recorded must never be less than what is set, or it would be cut (look in common.lua).
  if owner == token and recorded ~= ttl and (recorded < ttl or remaining < ttl) then
    record = fence .. ' ' .. ttl .. ' ' .. token .. ' ' .. label
    local written = redis.pcall('SET', F, record, 'KEEPTTL')
    if written.err and recorded < ttl then return written end
  end
end
-- Never shorter: extensions may arrive out of order.
if remaining < ttl then call('PEXPIRE', L, ttl) end
if call('PTTL', F) < 86400000 then call('PEXPIRE', F, 604800000) end
return 1
