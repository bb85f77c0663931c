describe("summarise", function()
  local function summarise(text, script)
    local folder = Test.folder({ ["text.txt"] = text })
    return Test.run("summarise", {
      params = { file = folder .. "/text.txt" },
      grants = { read = { folder } },
      script = script,
    })
  end

  it("asks once for a short text", function()
    local run = summarise("Short.", { "short" })
    expect(run.result):to_be("short")
    expect(run.requests[1].messages[1].content):to_be("Short.")
  end)

  it("summarises the summaries of a long one", function()
    local run = summarise(("One sentence after the other. "):rep(500), function(request)
      return "summary of " .. #request.messages[1].content
    end)
    local last = run.requests[#run.requests]
    expect(#run.requests):to_be_greater_than(2)
    expect(last.messages[1].content):to_match("^summary of %d+\n\nsummary of")
    expect(run.result):to_be("summary of " .. #last.messages[1].content)
  end)

  it("reads nothing that is not granted", function()
    local folder = Test.folder({ ["text.txt"] = "secret" })
    local run = Test.run("summarise", { params = { file = folder .. "/text.txt" }, catch = true })
    expect(run):to_fail_with("permission_denied")
    expect(run.requests):to_have_length(0)
  end)
end)
