describe("chat", function()
  it("goes on until an empty line, and remembers", function()
    local run =
      Test.run("chat", { lines = { "hello", "and again", "", "never read" }, script = { "hi", "hi again" } })
    expect(run.printed):to_equal({ "hi", "hi again" })
    local said = {}
    for _, message in ipairs(run.requests[2].messages) do
      said[#said + 1] = message.content
    end
    expect(said):to_equal({ "hello", "hi", "and again" })
  end)

  it("ends where its input does", function()
    expect(Test.run("chat", { lines = {} }).printed):to_equal({})
  end)
end)
