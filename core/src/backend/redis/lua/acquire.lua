-- acquire | KEYS L f q w | ARGV token ttl wait(0,1) client mode(P,S,-) window ticket label | {held fence ttl} · {busy remaining foreign} · {queued rank remaining foreign ticket} · {full}
local call = redis.call
local token, ttl, label = ARGV[1], ARGV[2], ARGV[8]

-- Nobody holds and nobody waits: decided before the shared functions are even defined, and taken
-- first, for a look costs as much. What is odd in any way gives it back and goes the long way.
local holder
local taken = redis.pcall('SET', KEYS[1], token, 'NX', 'PX', ttl)
if taken and taken.ok then
  if call('EXISTS', KEYS[3]) == 0 then
    local time, record = call('TIME'), redis.pcall('GET', KEYS[2])
    local fence = time[1] .. string.sub('00000' .. time[2], -6)
    -- Fences of 16 digits are ordered as their texts are.
    if not record or type(record) == 'string' and string.byte(record, 17) == 32 and record < fence then
      record = fence .. ' ' .. ttl .. ' ' .. token .. ' ' .. label
      -- The server turns numbers into strings more slowly than Lua's parser.
      if redis.pcall('SET', KEYS[2], record, 'PX', '604800000').ok then
        return {'held', fence, tonumber(ttl)}
      end
    end
  end
  call('DEL', KEYS[1])
else
  holder = call('GET', KEYS[1])
end

--@common

local function held(fence, refusal)
  return refusal or {'held', fence, tonumber(ttl)}
end

if holder == token then return held(keep(token, ttl, label)) end
if not holder then
  local granted, fence, refusal = walk({[token] = true})
  if refusal or granted == token then return held(fence, refusal) end
  -- No barging: a newcomer takes the lock only if nobody is left in the queue.
  if not granted and call('EXISTS', Q) == 0 then return held(take(token, ttl, label)) end
  holder = granted
end

local remaining, foreign = look(holder)
if ARGV[3] == '0' then return {'busy', remaining, foreign} end
local ticket = join(token, ttl, label, ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]))
if not ticket then return {'full'} end
return {'queued', call('ZRANK', Q, token), remaining, foreign, ticket}
