describe("assistant", function()
  it("puts things on the list", function()
    local run = Test.run("assistant", {
      params = { request = "put milk and tea on the list" },
      script = { Test.calls({ "add_item", { item = "milk" } }, { "add_item", { item = "tea" } }), "Done." },
    })
    expect(run.result):to_be("Done.")
    expect(run.scopes.shopping):to_equal({ milk = true, tea = true })
    expect(run.calls[1].result):to_be("milk is on the list now")
  end)

  it.each(
    { { list = {}, said = "the list is empty" }, { list = { tea = true }, said = "tea" } },
    "shows %s",
    function(case)
      local run = Test.run("assistant", {
        params = { request = "what is on it?" },
        scopes = { shopping = case.list },
        script = { Test.call("show_list"), "That is it." },
      })
      expect(run.calls[1].result):to_be(case.said)
    end
  )

  it("tells the model of a call that is wrong", function()
    local run = Test.run("assistant", {
      params = { request = "put it on the list" },
      script = { Test.call("add_item", { thing = "milk" }), "I could not." },
    })
    expect(run.calls[1].error.code):to_be("invalid_arguments")
    expect(run.requests[2].messages[3].content[1].is_error):to_be_true()
    expect(run.scopes.shopping):to_be_nil()
  end)
end)
