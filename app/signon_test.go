package main

import (
	"reflect"
	"strings"
	"testing"

	"carillon/app/account"
)

func TestSingleSignOnIsTakenFromTheSettings(t *testing.T) {
	t.Parallel()
	e := environment{
		"CARILLON_OIDC_ISSUER": "https://login.example.com/realms/acme/", "CARILLON_OIDC_CLIENT_ID": "carillon",
		"CARILLON_OIDC_CLIENT_SECRET": "s3cret",
		"CARILLON_OIDC_SCOPES":        "openid  email groups", "CARILLON_OIDC_GROUPS_CLAIM": "realm_access.roles",
		"CARILLON_OIDC_ROLES": "ops=Administrator, dev = Member ,cn=leads=Manager,", "CARILLON_OIDC_AUTO_CREATE": "on",
		"CARILLON_OIDC_NAME": "Sign in with Acme",
	}
	c, err := readConfig(e.get)
	if err != nil {
		t.Fatal(err)
	}
	want := oidcConfig{
		Issuer: "https://login.example.com/realms/acme/", ClientID: "carillon", ClientSecret: "s3cret",
		Scopes:      []string{"openid", "email", "groups"},
		GroupsClaim: "realm_access.roles", Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"},
			{Group: "dev", Role: "Member"}, {Group: "cn=leads", Role: "Manager"}},
		AutoCreate: true, Name: "Sign in with Acme",
	}
	if !reflect.DeepEqual(c.OIDC, want) {
		t.Errorf("got %+v; want %+v", c.OIDC, want)
	}
	if p := newSignOn(c); p == nil || p.Issuer != want.Issuer || p.GroupsClaim != want.GroupsClaim {
		t.Errorf("got the provider %+v; want that of the settings", p)
	}
	delete(e, "CARILLON_OIDC_ROLES")
	if c, err = readConfig(e.get); err != nil {
		t.Fatal(err)
	}
	if p := newSignOn(c); p.GroupsClaim != "" {
		t.Errorf("asks for the groups in %q, which nothing needs", p.GroupsClaim)
	}
	var shown strings.Builder
	printSettings(&shown, e.get)
	if strings.Contains(shown.String(), "s3cret") {
		t.Error("the settings print the client's secret")
	}
}

func TestSingleSignOnNeedsAnIssuerAndAClient(t *testing.T) {
	t.Parallel()
	if c, err := readConfig(environment{}.get); err != nil || newSignOn(c) != nil {
		t.Errorf("got %v; want no single sign-on", err)
	}
	for _, e := range []environment{{"CARILLON_OIDC_ISSUER": "https://login.example.com"},
		{"CARILLON_OIDC_CLIENT_ID": "carillon"}} {
		if _, err := readConfig(e.get); err == nil || !strings.Contains(err.Error(), "must be set together") {
			t.Errorf("%v: got %v; want to be told that both are needed", e, err)
		}
	}
}
