-- Encodes values as bytes, the only form in which anything enters or leaves this state. The format is
-- described in codec.py, its counterpart.

local part = ...
local config, is_overdue = part("config"), part("guard").is_overdue
local next, type, rawget, rawlen, rawequal = next, type, rawget, rawlen, rawequal
local setmetatable = setmetatable
local pack, unpack, byte = string.pack, string.unpack, string.byte
local concat, math_type = table.concat, math.type

local MAX_BYTES, MAX_DEPTH <const>, COST <const> = config.message, 64, 16
local MAX_NUMBER_KEYS <const> = 1 << 15 -- see codec.py
local EMPTY <const> = 48 -- an empty table, as a byte
local SIMPLE <const> = MAX_BYTES > 10000 and 20 or 0 -- pieces of names and values in a simple request

local null = setmetatable({}, {
  __metatable = false,
  __name = "null",
  __tostring = function()
    return "null"
  end,
})

-- Functions passed to the host, by the number that refers to them there.
local functions, last_function = {}, 0

-- The outbox: the pieces of this turn's message. The pieces of one value can be removed again.
local pieces, count = {}, 1 -- the first place is for `take`
local budget = 0 -- bytes the current value may still take; small values count as their cost to the host
local number_keys = 0 -- in the current value

local function refuse(why, detail)
  part("refusals").refuse_value(why, detail)
end

-- The keys of a table may be chosen such that Lua takes long to find each, while no hook runs.
local function pace(entries)
  if entries & 255 == 0 and is_overdue() then
    refuse("overdue")
  end
end

-- Appends a piece. A hook that has no stack left may raise between any two instructions of code that runs
-- for a spell: so the piece is there before it counts.
local function put(piece)
  local at = count + 1
  pieces[at] = piece
  count = at
end

local function is_list(t, length)
  local found = 0
  for k in next, t do
    if math_type(k) ~= "integer" or k < 1 or k > length then
      return false
    end
    found = found + 1
    pace(found)
  end
  return found == length
end

local encode

local function encode_list(t, length, depth)
  put(pack("<c1I4", "A", length))
  for i = 1, length do
    encode(rawget(t, i), depth + 1)
  end
end

local function encode_table(t, depth)
  if depth > MAX_DEPTH then
    refuse("depth")
  end
  local length = rawlen(t)
  if length > 0 and is_list(t, length) then
    return encode_list(t, length, depth)
  elseif length == 0 and next(t) == nil then
    return put("0")
  end
  put("T")
  local entries = 0
  for k, v in next, t do
    entries = entries + 1
    pace(entries)
    local kind = type(k)
    if kind == "number" then
      number_keys = number_keys + 1
    elseif kind ~= "string" then
      refuse("key", kind)
    end
    if number_keys > MAX_NUMBER_KEYS then
      refuse("number_keys", MAX_NUMBER_KEYS)
    end
    encode(k, depth + 1)
    encode(v, depth + 1)
  end
  put("e")
end

-- Cache of encoded short strings: mostly names of arguments, which repeat.
local short, shorts = {}, 0

local function encode_string(v)
  local piece = short[v]
  if not piece then
    piece = pack("<c1s4", "s", v)
    if #v <= 32 then
      if shorts == 1000 then
        short, shorts = {}, 0
      end
      short[v], shorts = piece, shorts + 1
    end
  end
  put(piece)
end

function encode(v, depth)
  local kind = type(v)
  budget = budget - (kind == "string" and #v + COST or COST)
  if budget < 0 then
    refuse("size", MAX_BYTES)
  end
  if kind == "string" then
    encode_string(v)
  elseif kind == "table" then
    if rawequal(v, null) then
      put("n")
    else
      encode_table(v, depth)
    end
  elseif kind == "number" then
    put(math_type(v) == "integer" and pack("<c1i8", "i", v) or pack("<c1d", "d", v))
  elseif kind == "boolean" then
    put(v and "t" or "f")
  elseif kind == "nil" then
    put("n")
  elseif kind == "function" then
    last_function = last_function + 1
    functions[last_function] = v
    put(pack("<c1i8", "F", last_function))
  else
    refuse("kind", kind)
  end
end

-- Appends a value to the outbox and returns the cost in instructions. On an error the caller must
-- `forget` what was appended since `mark`.
local function put_value(v)
  budget, number_keys = MAX_BYTES, 0
  encode(v, 1)
  return (MAX_BYTES - budget) // COST
end

-- Appends the request for an effect: its head, its number, its arguments. Returns and fails as
-- put_value does.
local function put_request(head, number, args)
  put(head)
  put(pack("<I4", number))
  return put_value(args)
end

-- Like put_request, for a few simple arguments whose names are cached, as in most requests. For others
-- it returns false and appends nothing.
local function put_simple_request(head, number, args)
  local key, value = next(args)
  if key == nil then
    pieces[count + 1], pieces[count + 2] = head, pack("<I4B", number, EMPTY)
    count = count + 2
    return true
  end
  local at, last = count + 3, count + 3 + SIMPLE
  repeat
    local name, piece = short[key], short[value]
    if not piece then
      local kind = math_type(value)
      if kind == "integer" then
        piece = pack("<c1i8", "i", value)
      elseif kind then
        piece = pack("<c1d", "d", value)
      end
    end
    if not (name and piece) or at >= last then
      return false
    end
    pieces[at + 1], pieces[at + 2] = name, piece
    at = at + 2
    key, value = next(args, key)
  until key == nil
  pieces[count + 1], pieces[count + 2], pieces[count + 3] = head, pack("<I4", number), "T"
  count = at + 1
  pieces[count] = "e"
  return true
end

-- The number of pieces in the outbox.
local function mark()
  return count
end

local function forget(since)
  for i = since + 1, count do
    pieces[i] = nil
  end
  count = since
end

-- Returns the message of this turn and empties the outbox; `standing` is the status byte in front.
local function take(standing)
  if count == 3 then
    count = 1
    return standing .. pieces[2] .. pieces[3]
  elseif count == 2 then
    count = 1
    return standing .. pieces[2]
  end
  pieces[1] = standing
  local message = concat(pieces, "", 1, count)
  if count > 256 then
    pieces = {}
  end
  count = 1
  return message
end

local decode

local function decode_list(s, at)
  local length, value
  length, at = unpack("<I4", s, at)
  local t = length > 2 and { nil, nil, nil, nil } or {} -- with room for a few, as growing takes long
  for i = 1, length do
    value, at = decode(s, at)
    if value == nil then
      value = null
    end
    t[i] = value
  end
  return t, at
end

local function decode_table(s, at)
  local t, entries = {}, 0
  while byte(s, at) ~= 101 do -- e
    entries = entries + 1
    pace(entries)
    local key, value
    key, at = decode(s, at)
    value, at = decode(s, at)
    t[key] = value
  end
  return t, at + 1
end

-- Decodes the value at a position; returns it and the position after it.
function decode(s, at)
  local tag = byte(s, at)
  if tag == 115 then -- s
    return unpack("<s4", s, at + 1)
  elseif tag == 105 then -- i
    return unpack("<i8", s, at + 1)
  elseif tag == 110 then -- n
    return nil, at + 1
  elseif tag == 116 then -- t
    return true, at + 1
  elseif tag == 102 then -- f
    return false, at + 1
  elseif tag == 84 then -- T
    return decode_table(s, at + 1)
  elseif tag == 65 then -- A
    return decode_list(s, at + 1)
  elseif tag == 100 then -- d
    return unpack("<d", s, at + 1)
  elseif tag == 70 then -- F
    local id
    id, at = unpack("<i8", s, at + 1)
    return functions[id], at
  end
  refuse("message")
end

return {
  null = null,
  put = put,
  put_request = put_request,
  put_simple_request = put_simple_request,
  put_value = put_value,
  mark = mark,
  forget = forget,
  take = take,
  decode = decode,
  functions = functions,
}
