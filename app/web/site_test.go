package web_test

import (
	"net/url"

	"carillon/app/api"
	"carillon/app/mcp"
	"carillon/app/middleware"
	"carillon/app/web"
	"carillon/app/web/webtest"
	"carillon/app/webhook"
)

// allPatterns are the routes of all doors.
func allPatterns() []string {
	s := &webtest.Site{
		Calls: &webhook.Server{}, Programs: &api.Server{PublicURL: &url.URL{}, Tokens: &middleware.Tokens{}},
		Tools: &mcp.Server{Tokens: &middleware.Tokens{}},
	}
	return s.Compose(&web.Server{}).Patterns()
}
