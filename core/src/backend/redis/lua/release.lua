-- release | KEYS L f q w | ARGV token | 0 not held · 1 freed · 2 handed on
local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if call('EXISTS', KEYS[3]) == 0 then
  call('DEL', KEYS[1])
  return 1
end

--@quick

-- Hands on to a head that lives and is told by a message, as walk() would, in half the time: it
-- takes the lock over from ours. Nil where anything is odd: then it is walk()'s.
local function quick_hand_on()
  local head = call('ZRANGE', KEYS[3], 0, 0)[1]
  local client, ttl, label = string.match(call('HGET', KEYS[4], head) or '', '^(%S+) (%d+) P ?(.*)')
  local entry = client and '@' .. client
  local deadline, count = string.match(entry and call('HGET', KEYS[4], entry) or '', '^(%d+) (%d+)$')
  if not deadline then return nil end
  local time, channel = call('TIME'), 'fl:c:' .. client
  local left = deadline - time[1] * 1000 - time[2] / 1000
  if left < 0 or left > 60000 or call('PUBSUB', 'NUMSUB', channel)[2] == 0 then return nil end
  local fence = quick_grant(head, ttl, label, time)
  if not fence then return nil end
  call('ZREM', KEYS[3], head)
  if count == '1' then
    call('HDEL', KEYS[4], head, entry)
  else
    call('HDEL', KEYS[4], head)
    call('HSET', KEYS[4], entry, deadline .. ' ' .. count - 1)
  end
  return call('PUBLISH', channel, 'G ' .. head .. ' ' .. fence .. ' ' .. ttl .. ' ' .. KEYS[1]) > 0
end

local ran, told = pcall(quick_hand_on)
if ran and told then return 2 end
-- Still ours, or granted, perhaps, and not told. Before the walk, so that whatever fails there can't
-- leave it held, and because a server without memory allows this and, after it, a grant.
call('DEL', KEYS[1])

--@common

return hand_on() and 2 or 1
