describe("panel", function()
  local function asked(question)
    return {
      params = { question = question, models = { "a/1", "a/2", "a/3" }, judge = "b/judge" },
      script = function(request)
        if request.output then
          return { winner = 2, why = "it is short" }
        end
        return ({ ["a/1"] = "one", ["a/2"] = "two", ["a/3"] = "three" })[request.model]
      end,
    }
  end

  it("prints the answer that the judge picks", function()
    expect(Test.run("panel", asked("How many?")).printed):to_equal({
      "two",
      "",
      "chosen from 3 answers: it is short",
    })
  end)

  it("shows the judge all of them", function()
    local run = Test.run("panel", asked("How many?"))
    local judged = run.requests[4]
    expect(judged.model):to_be("b/judge")
    expect(judged.messages[1].content):to_contain("Question: How many?")
    for i, answer in ipairs({ "one", "two", "three" }) do
      expect(judged.messages[1].content):to_contain("Answer " .. i .. ": " .. answer)
    end
  end)

  it("fails with the first that fails", function()
    local options = asked("How many?")
    options.faults = { ["model.request:a/2"] = { code = "provider_error", message = "overloaded" } }
    expect(function()
      Test.run("panel", options)
    end):to_fail_with("provider_error")
  end)
end)
