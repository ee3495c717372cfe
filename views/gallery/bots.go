package gallery

import "carillon/views"

func botSpecimens() []Specimen {
	ada := views.BotCard{
		ID: "b1", Name: "Ada", About: "You review changes like a careful colleague.", Agent: "Claude Code, opus",
		Where: "All workspaces", Uses: 3, Enabled: true, ReadOnly: true, Locked: true,
	}
	off := views.BotCard{
		ID: "b2", Name: "Release scribe", About: "You write release notes for people who use the product.",
		Where: "payments-api", Uses: 1,
	}
	one := views.BotPage{BotCard: ada,
		Instructions: "You review changes like a careful colleague.\nName the file and the line.",
		Tools:        []string{"Read", "Grep"},
		UsedBy:       []views.Link{{Text: "Nightly review", URL: views.AutomationURL("a1")}}, Hidden: 2,
		CanManage: true,
		Warning:   "3 automations with it stay without a bot."}
	form := views.NewBotForm()
	form.Name.Value, form.Name.Error = "", "Give the bot a name."
	form.Instructions.Value, form.Enabled.Checked = "You write release notes.", true
	return []Specimen{
		{Name: "page-bots", Page: views.Bots(samplePage("Bots", "bots"),
			views.BotsPage{Cards: []views.BotCard{ada, off}, CanManage: true})},
		{Name: "page-bots-empty", Page: views.Bots(samplePage("Bots", "bots"), views.BotsPage{CanManage: true})},
		{Name: "page-bot", Page: views.Bot(samplePage("Ada", "bots"), one)},
		{Name: "page-bot-new", Page: views.EditBot(samplePage("New bot", "bots"), form)},
	}
}
