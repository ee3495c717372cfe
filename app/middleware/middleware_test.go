package middleware

import (
	"net/http"
	"net/url"
	"testing"
)

func TestTokensStayOutOfTheLogHoweverTheAddressIsSpelled(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/automations":                            "/automations",
		"/api/automations/http-trigger":           "/api/automations/http-trigger",
		"/api/automations/http-trigger/S3CRET":    "/api/automations/http-trigger/***",
		"//api/automations/http-trigger/S3CRET":   "//api/automations/http-trigger/***",
		"/api/automations//http-trigger//S3CRET/": "/api/automations//http-trigger/***",
		"/API/Automations/HTTP-Trigger/S3CRET":    "/API/Automations/HTTP-Trigger/***",
		"/İ/http-trigger/S3CRET":                  "***",
	} {
		if got := Path(&http.Request{URL: &url.URL{Path: path}}); got != want {
			t.Errorf("%s is logged as %s; want %s", path, got, want)
		}
	}
}
