package views

func botSpecimens() []Specimen {
	ada := BotCard{
		ID: "b1", Name: "Ada", About: "You review changes like a careful colleague.", Agent: "Claude Code, opus",
		Where: "All workspaces", Uses: 3, Enabled: true, ReadOnly: true, Locked: true,
	}
	off := BotCard{
		ID: "b2", Name: "Release scribe", About: "You write release notes for people who use the product.",
		Where: "payments-api", Uses: 1,
	}
	one := BotPage{BotCard: ada,
		Instructions: "You review changes like a careful colleague.\nName the file and the line.",
		Tools:        []string{"Read", "Grep"},
		UsedBy:       []Link{{"Nightly review", AutomationURL("a1")}}, Hidden: 2, CanManage: true,
		Warning: "3 automations with it stay without a bot."}
	form := NewBotForm()
	form.Name.Value, form.Name.Error = "", "Give the bot a name."
	form.Instructions.Value, form.Enabled.Checked = "You write release notes.", true
	return []Specimen{
		{Name: "page-bots", Page: Bots(samplePage("Bots", "bots"),
			BotsPage{Cards: []BotCard{ada, off}, CanManage: true})},
		{Name: "page-bots-empty", Page: Bots(samplePage("Bots", "bots"), BotsPage{CanManage: true})},
		{Name: "page-bot", Page: Bot(samplePage("Ada", "bots"), one)},
		{Name: "page-bot-new", Page: EditBot(samplePage("New bot", "bots"), form)},
	}
}
