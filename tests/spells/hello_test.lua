describe("hello", function()
  local script = { Test.call("roll_die", { sides = 6 }), "It is a number." }

  it("lets a model roll a die", function()
    local run = Test.run("hello", { params = { sides = 6 }, script = script })
    local rolled = run.calls_of("roll_die")[1].result
    expect(rolled):to_be_greater_than(0)
    expect(rolled):to_be_less_than(7)
    expect(run.printed[3]):to_be("  model   It is a number.")
  end)

  it("counts visits", function()
    local tools = { now = { iso = "2026-11-29T10:00:00+00:00" } }
    local run = Test.run("hello", { script = script, tools = tools, state = { ["hello.visits"] = 41 } })
    expect(run.output):to_match_snapshot()
  end)
end)
