"""Generates random statements that attack the sandbox from a grammar."""

from __future__ import annotations

from expressions import Expressions, long_text, quoted
from vocabulary import (
    AGENT_METHODS,
    CONTEXTS,
    EFFECT_NAMES,
    GLOBALS,
    KEYWORDS,
    LIBRARY,
    METAMETHODS,
    PAYLOADS,
    TOOLS,
)


class Grammar(Expressions):
    """Generates random statements. `statement` lists the kinds with their weights."""

    def fragment(self) -> str:
        """Generate one attack; most are wrapped so that an error does not end the program."""
        body = self.statement(self.rng.randint(2, 4))
        wrapped = self.rng.randrange(12)
        if wrapped == 0:
            return body
        if wrapped == 1:
            return f"P(coroutine.wrap(function(...)\n{body}\nend))"
        if wrapped == 2:
            return f"P(Task.spawn, function(...)\n{body}\nend)"
        if wrapped == 3:
            return f"P(Task.timeout, {self.pick(('0', '0.01', '1'))}, function(...)\n{body}\nend)"
        return f"P(function(...)\n{body}\nend)"

    def statement(self, depth: int) -> str:
        if depth <= 0:
            return self.pick((self.keep, self.calling))(1)
        kinds = {
            self.keep: 5,
            self.calling: 6,
            self.extreme: 3,
            self.tower: 3,
            self.coroutine: 3,
            self.loading: 2,
            self.closing: 2,
            self.tasks: 3,
            self.effect: 4,
            self.hook: 2,
            self.tool: 2,
            self.agent: 1,
            self.overwrite: 2,
            self.raising: 2,
            self.sorting: 1,
            self.amplifying: 1,
            self.child: 1,
            self.exposed: 4,
            self.flood: 1,
            self.several: 4,
            self.operating: 2,
        }
        return self.rng.choices(list(kinds), list(kinds.values()))[0](depth)

    def several(self, depth: int) -> str:
        return "\n".join(self.statement(depth - 1) for _ in range(self.rng.randint(2, 3)))

    def keep(self, depth: int) -> str:
        return f"V[{self.rng.randint(1, 9)}] = {self.value(depth)}"

    def calling(self, depth: int) -> str:
        return f"V[{self.rng.randint(1, 9)}] = {self.call(depth)}"

    def operating(self, depth: int) -> str:
        return f"V[{self.rng.randint(1, 9)}] = {self.operation(depth)}"

    def extreme(self, depth: int) -> str:
        """Generate library calls whose arguments demand the utmost of the C implementation."""
        n, m, text = self.number(), self.number(), self.text(1)
        return self.pick(
            (
                f"V[1] = string.rep({text}, {n}, {text})",
                f"V[1] = string.format({text}, {n}, {m}, {self.value(depth - 1)})",
                f"V[1] = string.gsub({long_text(self.rng)}, {text}, {self.value(depth - 1)})",
                f"V[1] = string.find({long_text(self.rng)}, {text}, {n}, {self.pick(('true', 'false'))})",
                f"V[1] = string.pack({text}, {n}, {m}, {text})",
                f"V[1] = {{string.unpack({text}, {long_text(self.rng)}, {n})}}",
                f"V[1] = {{string.byte({long_text(self.rng)}, {n}, {m})}}",
                f"V[1] = string.char(table.unpack({{}}, {n}, {m}))",
                f"V[1] = table.concat({self.value(depth - 1)}, {text}, {n}, {m})",
                f"V[1] = table.move({self.value(depth - 1)}, {n}, {m}, {self.number()}, {self.value(depth - 1)})",
                f"V[1] = select('#', table.unpack({self.value(depth - 1)}, {n}, {m}))",
                f"V[1] = {{table.unpack({{}}, 1, {self.pick(('1000', '200000', '999999'))})}}",
                f"table.insert({self.value(depth - 1)}, {n}, {self.value(depth - 1)})",
                f"V[1] = table.remove({self.value(depth - 1)}, {n})",
                f"for a, b in string.gmatch({long_text(self.rng)}, {text}) do V[2] = a end",
                f"V[1] = utf8.codepoint({text}, {n}, {m}, true)",
                f"V[1] = utf8.offset({long_text(self.rng)}, {n}, {m})",
                f"V[1] = tonumber({text}, {n})",
                f"V[1] = math.random({n}, {m})",
                f"for i = {n}, {m}, {self.number()} do V[i] = i if V[3] then break end end",
                f"V[1] = os.date({text}, {n})",
                f"V[1] = os.time({{year = {n}, month = {m}, day = {n}, hour = {m}}})",
                f"V[{n}] = {m} V[V] = V next(V, {n})",
            )
        )

    def tower(self, depth: int) -> str:
        """Generate nested protected calls, with handlers that fail too."""
        body, handler = self.statement(depth - 1), self.function(depth - 1)
        return self.pick(
            (
                f"xpcall(function(...)\n{body}\nend, {handler})",
                f"try(pcall, xpcall, function(...)\n{body}\nend, {handler})",
                f"for i = 1, {self.pick((3, 300))} do pcall(xpcall, function(...)\n{body}\nend, error) end",
                f"local function f(...) return xpcall(pcall, f, f, ...) end f({self.arguments(depth)})",
                f"local function f(n) {body}\nif n > 0 then return pcall(f, n - 1) end end f(250)",
                "while true do pcall(error) end",
                f"V[2] = {{pcall(error, {self.value(depth - 1)}, {self.number()})}}",
            )
        )

    def coroutine(self, depth: int) -> str:
        body, value = self.statement(depth - 1), self.value(depth - 1)
        return self.pick(
            (
                f"V[4] = coroutine.wrap(function(...)\n{body}\ncoroutine.yield({value})\nend) V[4]() V[4]()",
                f"V[5] = coroutine.create(function(...)\n{body}\nend) coroutine.resume(V[5], {value}) coroutine.close(V[5])",
                "local co = coroutine.running() V[4] = {pcall(coroutine.resume, co)} coroutine.close(co)",
                f"local co co = coroutine.create(function() coroutine.resume(co) coroutine.close(co)\n{body}\nend) coroutine.resume(co)",
                f"local function nest(n) if n == 0 then {self.statement(1)} end return coroutine.wrap(nest)(n - 1) end nest({self.pick((5, 150, 250))})",
                f"V[5] = coroutine.create(function() pcall(function()\ncoroutine.yield()\n{body}\nend) end) coroutine.resume(V[5]) P(coroutine.resume, V[5])",
                f"V[5] = coroutine.create(function() Task.sleep(0.01) end) Task.spawn(function() coroutine.resume(V[5]) end) Task.sleep(0) coroutine.close(V[5])\n{body}",
                f"for i = 1, {self.pick((10, 5000))} do V[i] = coroutine.create(error) coroutine.resume(V[i], {value}) end",
                f"coroutine.yield({value})",
                "for a in coroutine.wrap(function() for i = 1, 1e9 do coroutine.yield(i) end end) do V[4] = a end",
            )
        )

    def loading(self, depth: int) -> str:
        body = self.statement(depth - 1)
        return self.pick(
            (
                f"V[6] = load({quoted(body)}, {self.text()}, {self.pick((quoted('t'), quoted('b'), 'nil'))}, {self.pick(('_G', '{}', 'V'))}) V[6]()",
                f"V[6] = load({self.function(depth - 1)}, {self.value(0)})",
                f"V[6] = load(({quoted(self.pick(('(', '{', 'a.', 'not ', '-', 'return function() ')))}):rep({self.pick((100, 5000, 200_000))}))",
                f"V[6] = load('local a <close> = V ' .. ({quoted('local a = 1 ')}):rep({self.pick((10, 300))}))",
                f"V[6] = require({self.value(1)})",
            )
        )

    def closing(self, depth: int) -> str:
        body = self.statement(depth - 1)
        handler = f"setmetatable({{}}, {{__close = function(...)\n{body}\nend}})"
        return self.pick(
            (
                f"do local a <close> = {handler}\nerror({self.value(1)}) end",
                f"for _ in next, {{1}}, nil, {handler} do {self.statement(0)} end",
                f"local co = coroutine.wrap(function() local a <close> = {handler}\ncoroutine.yield() end) co() co = nil",
                f"V[7] = Task.spawn(function() local a <close> = {handler}\nTask.sleep(1) end) Task.sleep(0) V[7]:cancel()",
                f"Task.race{{function() local a <close> = {handler}\nTask.sleep(1) end, function() end}}",
                f"do local a <close> = {handler}\nwhile true do end end",
                f"local a <close> = {self.value(2)}",
            )
        )

    def tasks(self, depth: int) -> str:
        body, f, g = self.statement(depth - 1), self.function(depth - 1), self.function(depth - 1)
        many = self.pick((3, 50, 2000))
        return self.pick(
            (
                f"V[7] = Task.spawn(function(...)\n{body}\nend, {self.value(1)})",
                f"V[7] = Task.spawn({f}) V[7]:cancel() V[7]:await()",
                f"V[7] = Task.budget({self.table(1)}, {f})",
                f"V[7]:{self.pick(('await', 'cancel', 'done'))}({self.arguments(1)})",
                "local t t = Task.spawn(function() t:await() end) t:await()",
                "local t t = Task.spawn(function() t:cancel() Task.sleep(0) end)",
                f"V[7] = Task.race{{{f}, {g}, function()\n{body}\nend}}",
                f"V[7] = Task.all({{{f}, {g}}}, {{limit = {self.number()}, on_error = 'collect', timeout = {self.pick(('0', '0.01', '-1', '0/0'))}}})",
                f"V[7] = Task.map({self.table(depth - 1)}, {f}, {{limit = {self.number()}}})",
                f"V[7] = Task.timeout({self.pick(('0', '0.001', '1e-9', '0.05'))}, function()\n{body}\nTask.sleep(1) end)",
                f"for i = 1, {many} do Task.spawn(function() Task.sleep({self.pick(('0', '0.001'))})\n{self.statement(0)}\nend) end",
                f"local function f(n) Task.spawn(f, n + 1)\n{self.statement(0)}\nend f(1)",
                f"Task.sleep({self.pick(('0', '0', '0.001', '0/0', '1e308', '1/0', '-1', '1e9'))})",
                f"Task.spawn(function() error({self.value(1)}) end) Task.sleep(0)",
            )
        )

    def effect(self, depth: int) -> str:
        a, b, f = self.value(depth), self.value(depth - 1), self.function(depth - 1)
        tool = self.pick(list(TOOLS))
        fields = ", ".join(
            f"{name} = {self.value(1)}" for name in TOOLS[tool] if self.rng.random() < 0.8
        )
        return self.pick(
            (
                f"V[8] = {tool}{{{fields}}}",
                f"V[8] = {tool}({a})",
                f"V[8] = Tool.call({self.pick((quoted(tool), self.value(1)))}, {a})",
                f"V[8] = JSON.decode(JSON.encode({a}, {{indent = {self.number()}}}))",
                f"V[8] = JSON.decode({self.text(1)})",
                f"State.set({self.text()}, {a}, {{ttl = {self.number()}}}) V[8] = State.get({self.text()}, {b})",
                f"V[8] = State.update({self.text()}, function(old)\n{self.statement(depth - 1)}\nreturn {b} end)",
                f"State.update('k', function() State.update('k', {f}) end)",
                f"V[8] = State.increment({self.text()}, {self.number()})",
                f"V[8] = State.scope({self.value(1)}).keys({self.text()})",
                f"Log.{self.pick(('debug', 'info', 'warn', 'error'))}({a}, {b})",
                f"V[8] = Debug.inspect({a})",
                f"print({a}, {b})",
                f"V[8] = Config[{self.text()}] Config.x = {b}",
                "V[8] = Console.read_line('x')",
            )
        )

    def hook(self, depth: int) -> str:
        point = quoted(self.pick(EFFECT_NAMES))
        result = self.pick(
            (
                f"Hook.modify({self.value(1)})",
                f"Hook.replace({self.value(1)})",
                f"Hook.halt({self.value(0)})",
                f"Hook.retry({self.number()}, {self.number()})",
                f"Hook.redirect({{{self.pick(('tool', 'model', 'effect'))} = {self.text()}, args = {self.value(1)}}})",
                f"Hook.cache({self.value(0)}, {self.number()})",
                f"Hook.fork({{{{{point}, {self.value(1)}}}, {self.value(1)}}})",
                f"Hook.skip({self.value(0)})",
                f"{{type = {self.text()}, data = {self.value(1)}}}",
                self.value(1),
                "call",
            )
        )
        options = f"{{priority = {self.number()}, timeout = {self.pick(('nil', '1e-9', '0.01', '-1', '0/0', '1/0'))}, required = {self.pick(('true', 'false'))}, name = {self.text()}}}"
        kind = self.pick(("before", "after", "on_error"))
        made = f"V[9] = Hook.{kind}({point}, function(call)\n{self.statement(depth - 1)}\nreturn {result} end, {options})"
        return f"{made}\n{self.effect(1)}" + self.pick(("", "\nV[9]:remove()"))

    def schema(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(
                (
                    quoted(self.pick(("string", "list", "table?", "any", "integer", "x"))),
                    self.value(1),
                )
            )
        parts = []
        for _ in range(self.rng.randint(1, 3)):
            key = self.pick(KEYWORDS)
            parts.append(
                f"[{quoted(key)}] = {self.pick((self.schema(depth - 1), '{' + self.schema(depth - 1) + '}', self.value(1)))}"
            )
        return "{type = 'table', " + ", ".join(parts) + "}"

    def tool(self, depth: int) -> str:
        params = self.pick(("{a = 'any'}", self.schema(2), self.schema(1), self.value(2), "nil"))
        name = self.pick(("'made'", "'made'", self.text(), "'print'", "'hash'"))
        run = f"function(args)\n{self.statement(depth - 1)}\nreturn {self.value(1)} end"
        made = f"Tool.define{{name = {name}, params = {params}, run = {run}, timeout = {self.pick(('nil', '0', '0.01', '-1', '0/0'))}}}"
        return f"{made}\nV[8] = Tool.call('made', {self.pick((f'{{a = {self.value(2)}}}', self.value(2)))}) V[8] = made({self.value(1)})"

    def agent(self, depth: int) -> str:
        tools = self.pick(
            (
                "{'made', 'hash', 'calculate', 'template'}",
                self.value(1),
                f"{{{{name = 'made', run = {self.function(depth - 1)}, params = {self.schema(1)}}}}}",
            )
        )
        output = self.pick(("nil", self.schema(1), self.schema(2)))
        method = self.pick(AGENT_METHODS)
        made = f"V[9] = Agent.create{{model = 'scripted/x', tools = {tools}, output = {output}, max_steps = {self.pick(('3', self.number()))}, system = {self.value(1)}, extra_body = {self.value(1)}, history = {self.pick(('nil', self.value(2)))}}}"
        return f"{made}\nV[8] = V[9]:{method}({self.value(2)}, {self.value(2)})"

    def child(self, depth: int) -> str:
        """Generate a child spell with options that ask for more than the parent has."""
        body = quoted(self.statement(depth - 1) + f"\nreturn {self.value(1)}")
        kind = self.pick(("read", "write", "net", "run", "env", "tool", "llm", "all"))
        limit = self.pick(("memory", "time", "instructions", "effects", "output", "message", "x"))
        options = ", ".join(
            (
                f"grants = {self.pick((f'{{{kind} = {self.value(1)}}}', f'{{{kind} = {{[[*]]}}}}', self.value(1)))}",
                f"limits = {self.pick((f'{{{limit} = {self.value(0)}}}', self.value(1)))}",
                f"params = {self.value(1)}, arguments = {self.value(1)}",
                f"state = {self.pick(('nil', quoted('project'), quoted('memory'), self.text()))}",
            )
        )
        return self.pick(
            (
                f"V[8] = Spell.run({body})",
                f"V[8] = Spell.run({body}, {{{options}}})",
                f"V[8] = Spell.run({self.value(1)}, {{{options}}})",
                f"V[8] = Spell.run('hello', {{{options}}})",
                f"for i = 1, {self.pick((3, 20))} do Task.spawn(Spell.run, {body}) end",
                f"local s = {quoted('return Spell.run(...)')} V[8] = Spell.run(s, {{arguments = {{s, {{[1] = s}}}}}})",
            )
        )

    def exposed(self, depth: int) -> str:
        """Generate something that never ends, reached through several indirections."""
        body = self.pick((self.pick(PAYLOADS), self.pick(PAYLOADS), self.statement(depth - 1)))
        lines = [f"local function f(...) {body}\nend"]
        turns = self.rng.randint(0, 2)
        lines += [
            f"local g = f local function f(...) local f = g {self.pick(CONTEXTS)}\nend"
            for _ in range(turns)
        ]
        return "\n".join((*lines, f"do {self.pick(CONTEXTS)}\nend"))

    def overwrite(self, depth: int) -> str:
        place, value = self.pick(GLOBALS), self.value(depth - 1)
        name = self.pick(LIBRARY)
        return self.pick(
            (
                f"{name} = {value}",
                f"{name} = {self.function(depth - 1)}",
                f"_G[{self.text()}] = {value}",
                f"for k in next, {place} do {place}[k] = {value} end",
                f"{place}[{quoted(name.rpartition('.')[2])}] = nil",
                f"setmetatable({place}, {{{self.pick(METAMETHODS)} = {value}}})",
                f"local _ENV = {value} {self.statement(0)}",
                f"_ENV = setmetatable({{}}, {{__index = _G, __newindex = {self.function(0)}}})",
                "local m = metatable('') m.__index = V V[1] = m",
                f"for k, v in pairs({place}) do V[k] = v end",
                "P(look, {V[1], V[8], V[9]}, 0, {})",
            )
        )

    def raising(self, depth: int) -> str:
        return self.pick(
            (
                f"error({self.value(depth)}, {self.number()})",
                f"error({{code = {self.text()}, message = {self.value(1)}, details = {self.value(1)}, hint = {self.value(1)}, where = {self.value(1)}, traceback = {self.value(1)}}}, 0)",
                f"error(setmetatable({{}}, {{__tostring = {self.function(depth - 1)}, __metatable = {self.value(0)}}}))",
                f"assert(false, {self.value(depth)})",
                f"local ok, e = pcall(State.get, {{}}) for k in next, e do e[k] = {self.value(1)} end error(e)",
            )
        )

    def sorting(self, depth: int) -> str:
        order = self.pick(
            (
                "function() return true end",
                "function(a, b) return math.random(2) == 1 end",
                "function(a, b) coroutine.yield(a) return a < b end",
                "function(a, b) Task.sleep(0) return a < b end",
                f"function(a, b) {self.statement(depth - 1)} return a < b end",
                self.function(depth - 1),
            )
        )
        items = self.pick(
            (f"{{3, 1, 2, {self.value(1)}}}", self.table(2), "{9, 8, 7, 6, 5, 4, 3, 2, 1}")
        )
        return f"V[1] = {items} table.sort(V[1], {order})"

    def amplifying(self, depth: int) -> str:
        """Generate effects whose results could be far larger than their arguments."""
        long, text = long_text(self.rng), self.text(1)
        many = self.pick((3, 1000, 50_000))
        return self.pick(
            (
                f"V[8] = template{{text = ('{{{{a}}}}'):rep({many}), values = {{a = {self.pick((long, self.table(1)))}}}}}",
                f"V[8] = split_text{{text = {long}, max_chars = {self.pick((1, 3, 1000))}, overlap = {self.pick((0, 1, 400))}}}",
                f"V[8] = csv_parse{{text = {long}, header = {self.pick(('true', 'false'))}}}",
                f"V[8] = csv_format{{rows = {self.table(1)}, columns = {self.table(1)}}}",
                f"V[8] = regex_find{{pattern = {text}, text = {long}, max_results = 10000}}",
                f"V[8] = diff_text{{a = {long}, b = ({text}):rep({many}), context = {self.number()}}}",
                f"V[8] = calculate{{expression = {self.pick((long, text))}, variables = {self.table(1)}}}",
                f"V[8] = JSON.decode(('['):rep({many}) .. (']'):rep({many}))",
                f"V[8] = JSON.decode('[' .. ('[],'):rep({many}) .. '1]')",
                f"V[8] = url_encode{{text = {long}}} V[8] = base64_encode{{data = V[8]}}",
                f"V[8] = JSON.encode({self.table(1)}, {{indent = {self.number()}}})",
                f"for i = 1, {many} do V[8] = State.update('k', function(old) return (old or 'x') .. (old or 'x') end) end",
                f"local t = {{}} for i = 1, {many} do t[i] = {{'x', t[i - 1]}} end V[8] = State.set('k', t)",
                f"local t, list = {long}, {{}} for i = 1, {many} do list[i] = t end V[8] = JSON.encode(list)",
            )
        )

    def flood(self, depth: int) -> str:
        x = f"l{self.rng.randrange(1 << 30)}"
        return self.pick(
            (
                f"while true do {self.statement(0)} end",
                f"while true do pcall(function() {self.statement(1)} end) end",
                f"::{x}:: V[#V + 1] = {self.value(0)} goto {x}",
                "local s = 'x' while true do s = s .. s end",
                "local s = 'x' while true do local ok, r = pcall(function() return s .. s end) s = ok and r or 'x' end",
                "local function f(...) return 1 + f(1, ...) end f()",
                "local function f() return f() end f()",
                "local function f() local t = setmetatable({}, {__index = f}) return t.x .. f() end f()",
                f"while true do print({self.value(1)}) end",
                f"for i = 1, 1e9 do V[i] = function() return {self.value(0)} end end",
                "for i = 1, 1e9 do State.get('k' .. i) end",
                f"for i = 1, 1e9 do Hook.before('*', {self.function(0)}) end",
                f"local t = {{}} for i = 1, 1e9 do t = setmetatable({{t}}, {{__index = t, __mode = {self.value(0)}}}) end V[1] = t.x",
                "V[1] = string.rep('x', 1 << 20) for i = 1, 1e6 do V[2] = V[1]:upper() .. i end",
            )
        )
