---@meta Team

local host = ...
local perform, map, fail, tostring = host.perform, host.map, host.fail, host.tostring
local type, ipairs, next, setmetatable = type, ipairs, next, setmetatable
local format, concat, lower, match = string.format, table.concat, string.lower, string.match

---Several agents that work together. A team is prompted like an agent, so teams can be members of teams.
---@class Team
local Team = {}

---@class TeamHandle
---@field name string
local methods = {}

---@alias Member AgentHandle|TeamHandle|fun(input: any): any

-- Asks a member; returns its answer and the usage.
local function ask(member, input)
  if type(member) == "function" then
    return { answer = member(input) }
  end
  local answer, response = member:prompt(input)
  return { answer = answer, usage = response and response.usage }
end

local function text_of(value)
  if type(value) == "table" then
    return perform("json.encode", { value = value })
  end
  return tostring(value)
end

-- The total price is known only if every price is.
local function add_usage(total, usage)
  if usage == nil or next(usage) == nil then
    return
  end
  local priced = usage.usd and (total.usd or next(total) == nil)
  for field, amount in next, usage do
    total[field] = (total[field] or 0) + amount
  end
  total.usd = priced and total.usd or nil
end

local function name_of(member, number)
  return type(member) == "table" and member.name or "member " .. number
end

-- Asks members concurrently; returns their answers in order.
local function ask_all(team, response, input_of)
  local replies = map(team.members, function(member, number)
    return ask(member, input_of(number))
  end, { limit = team.options.limit })
  local answers = {}
  for number, reply in ipairs(replies) do
    answers[number] = reply.answer
    add_usage(response.usage, reply.usage)
  end
  return answers
end

local function same(input)
  return function()
    return input
  end
end

-- Asks one more member, for the final answer.
local function ask_one(member, response, input)
  local reply = ask(member, input)
  add_usage(response.usage, reply.usage)
  return reply.answer
end

local function is_member(value)
  return type(value) == "function" or (type(value) == "table" and value.prompt ~= nil)
end

local function check_limit(callee, options, name)
  local number = options[name]
  if number ~= nil and (type(number) ~= "number" or number < 1 or number % 1 ~= 0) then
    fail("invalid_arguments", callee .. ": " .. name .. " must be a whole number, 1 or more")
  end
end

local function check_options(callee, options, known)
  for name in next, options do
    if name ~= "name" and name ~= "limit" and not known[name] then
      fail("invalid_arguments", callee .. ": " .. name .. " is not an option")
    end
  end
  if options.name ~= nil and type(options.name) ~= "string" then
    fail("invalid_arguments", callee .. ": name is not a string")
  end
  check_limit(callee, options, "limit")
  check_limit(callee, options, "rounds")
  for _, name in ipairs({ "judge", "combine" }) do
    if options[name] ~= nil and not is_member(options[name]) then
      fail("invalid_arguments", callee .. ": " .. name .. " is not an agent, team or function")
    end
  end
  if options.key ~= nil and type(options.key) ~= "function" then
    fail("invalid_arguments", callee .. ": key is not a function")
  end
end

-- Creates a team; `known` has its kind's own options as keys.
local function new(callee, options, known, work)
  if type(options) ~= "table" then
    fail("invalid_arguments", callee .. ": takes a table of members and options")
  end
  local members, own = {}, {}
  for number, member in ipairs(options) do
    if not is_member(member) then
      fail("invalid_arguments", callee .. ": member " .. number .. " is not an agent, team or function")
    end
    members[number] = member
  end
  if #members == 0 then
    fail("invalid_arguments", callee .. ": it has no members")
  end
  for field, value in next, options do
    if type(field) == "string" then
      own[field] = value
    end
  end
  check_options(callee, own, known)
  local team = { name = own.name or "team", members = members, options = own, work = work }
  return setmetatable(team, { __index = methods, __name = "team" })
end

---Prompt the team.
---@param input string|table
---@return any answer
---@return table response {text, data, answers, usage}; after a vote also {votes}
function methods:prompt(input)
  local response = { usage = {}, answers = {} }
  local answer = self.work(self, input, response)
  response.text = text_of(answer)
  response.data = type(answer) == "table" and answer or nil
  return answer, response
end

---Return this team as an entry for an agent's `tools`.
---@param options? {name: string, description: string}
function methods:as_tool(options)
  local tool = host.with_options({
    params = { input = "string" },
    run = function(args)
      return (self:prompt(args.input))
    end,
  }, options, "team:as_tool")
  tool.name = tool.name or self.name
  tool.description = tool.description or "Ask the team " .. self.name .. "."
  return tool
end

---Each member gets the previous member's answer; the last answer is the team's.
---@param members table a list of members
---@return TeamHandle
function Team.sequential(members)
  return new("Team.sequential", members, {}, function(team, input, response)
    for number, member in ipairs(team.members) do
      input = ask_one(member, response, input)
      response.answers[number] = input
    end
    return input
  end)
end

---All members are asked concurrently. The answer is the list of their answers, or the result of `combine`.
---@param members table a list of members; limit: how many at once; combine: a member that gets the list
---@return TeamHandle
function Team.parallel(members)
  return new("Team.parallel", members, { combine = true }, function(team, input, response)
    response.answers = ask_all(team, response, same(input))
    local combine = team.options.combine
    return combine and ask_one(combine, response, response.answers) or response.answers
  end)
end

-- The default key of a vote: ignores case, and spaces and punctuation around the answer.
local function key_of(answer)
  return match(lower(text_of(answer)), "^[%s%p]*(.-)[%s%p]*$")
end

-- The choice an answer counts for; nil if the member abstains.
local function choice_of(answer, key)
  if answer == nil then
    return nil
  end
  local choice = key(answer)
  local kind = type(choice)
  if kind == "table" or kind == "function" or kind == "thread" or choice ~= choice then
    local what = kind == "number" and "nan" or "a " .. kind
    fail("invalid_arguments", "Team.vote: key returned " .. what .. ", which no other key equals")
  end
  return choice
end

---The answer that most members give; in a tie, the one that was given by an earlier member.
---@param members table a list of members; key: fun(answer): what makes answers equal, nil if it does not count
---@return TeamHandle
function Team.vote(members)
  return new("Team.vote", members, { key = true }, function(team, input, response)
    local key = team.options.key or key_of
    local answers = ask_all(team, response, same(input))
    local votes, first, order, best = {}, {}, {}, nil
    for number = 1, #team.members do
      local choice = choice_of(answers[number], key)
      if choice ~= nil then
        if votes[choice] == nil then
          votes[choice], first[choice], order[#order + 1] = 0, answers[number], choice
        end
        votes[choice] = votes[choice] + 1
      end
    end
    for _, choice in ipairs(order) do
      if best == nil or votes[choice] > votes[best] then
        best = choice
      end
    end
    if best == nil then
      fail("agent_error", "Team.vote: all members of " .. team.name .. " abstained")
    end
    response.answers, response.votes = answers, votes
    return first[best]
  end)
end

local function others_say(team, input, answers, own)
  local asked, attachments = input, nil
  if type(input) == "table" and input.attachments then
    asked, attachments = input.text, input.attachments
  end
  local statements = {}
  for number, member in ipairs(team.members) do
    local answer = answers[number]
    if number ~= own and answer ~= nil then
      statements[#statements + 1] = format("%s says:\n%s", name_of(member, number), text_of(answer))
    end
  end
  local ask_for = own and "Weigh what the others say, and give your answer anew."
    or "Decide, and give the best answer."
  local text = format("%s\n\n%s\n\n%s", text_of(asked), concat(statements, "\n\n"), ask_for)
  if own or attachments == nil then
    return text
  end
  return { text = text, attachments = attachments } -- members have seen them, the judge has not
end

---Members answer, read the others' answers and answer again, `rounds` times; then the judge decides.
---@param members table a list of members; rounds: integer, 2; judge: a member
---@return TeamHandle
function Team.debate(members)
  return new("Team.debate", members, { judge = true, rounds = true }, function(team, input, response)
    response.answers = ask_all(team, response, same(input))
    for _ = 2, team.options.rounds or 2 do
      local before = response.answers
      response.answers = ask_all(team, response, function(number)
        return others_say(team, input, before, number)
      end)
    end
    local judge = team.options.judge
    return judge and ask_one(judge, response, others_say(team, input, response.answers)) or response.answers
  end)
end

return { Team = Team }
