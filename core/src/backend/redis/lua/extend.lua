-- extend | KEYS (L f)×1..200 | ARGV (token ttl)×1..200 | of one lease 1 · 0 not held; of more a list of these, and of errors
local call = redis.call

local function extend(L, F, token, ttl_text)
  if call('GET', L) ~= token then return 0 end
  local ttl, record = tonumber(ttl_text), redis.pcall('GET', F)
  if type(record) ~= 'string' then record = '' end
  -- As a rule what is recorded is what is wanted (fences have 16 digits), and no more is in force: longer only if
  -- the clock stepped back, and then it is cut.
  local remaining = -1
  if string.find(record, ' ' .. ttl_text .. ' ' .. token .. ' ', 17, true) ~= 17 then
    remaining = call('PTTL', L)
    local fence, recorded, owner, label = string.match(record, '^(%d+) (%d+) (%S+) ?(.*)')
    recorded = tonumber(recorded)
    -- What is recorded must never be less than what is set, or it would be cut (look in common.lua).
    if owner == token and recorded ~= ttl and (recorded < ttl or remaining < ttl) then
      local written = redis.pcall('SET', F, fence .. ' ' .. ttl_text .. ' ' .. token .. ' ' .. label, 'KEEPTTL')
      if written.err and recorded < ttl then return written end
    end
  end
  -- Never shorter: extensions may arrive out of order.
  if remaining < ttl then call('PEXPIRE', L, ttl_text) end
  if call('PTTL', F) < 86400000 then call('PEXPIRE', F, 604800000) end
  return 1
end

if #KEYS == 2 then return extend(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) end
local extended = {}
for i = 1, #KEYS, 2 do
  -- One that fails is no reason for the others to be lost.
  local ran, outcome = pcall(extend, KEYS[i], KEYS[i + 1], ARGV[i], ARGV[i + 1])
  extended[#extended + 1] = ran and outcome or type(outcome) == 'table' and outcome or redis.error_reply(tostring(outcome))
end
return extended
