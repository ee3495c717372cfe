package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/outbound"
	"carillon/app/sso"
	"carillon/db"
)

// oidcConfig has the settings of single sign-on. An empty Issuer: there is none.
type oidcConfig struct {
	Issuer, ClientID, ClientSecret string
	Scopes                         []string
	GroupsClaim                    string
	Roles                          []account.GroupRole
	AutoCreate                     bool
	Name                           string
}

func readIssuer(c *config, text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return "an address such as https://login.example.com/realms/acme, as the provider calls itself"
	}
	c.OIDC.Issuer = text
	return ""
}

// readGroupRoles reads pairs of a group and a role. A group may contain the separator, as groups of LDAP do; a role
// does not.
func readGroupRoles(c *config, text string) string {
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		i := strings.LastIndex(pair, "=")
		if i < 0 {
			i = 0
		}
		group, role := strings.TrimSpace(pair[:i]), strings.TrimSpace(strings.TrimPrefix(pair[i:], "="))
		if group == "" || role == "" {
			return "pairs of a group and a role, such as ops=Administrator,dev=Member"
		}
		c.OIDC.Roles = append(c.OIDC.Roles, account.GroupRole{Group: group, Role: role})
	}
	return ""
}

// newSignOn makes the provider of the settings, or nil. An administrator sets its address, so it may be in a private
// network.
func newSignOn(c *config) *sso.Provider {
	if c.OIDC.Issuer == "" {
		return nil
	}
	p := &sso.Provider{
		Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, ClientSecret: c.OIDC.ClientSecret, Scopes: c.OIDC.Scopes,
		HTTP: outbound.Policy{Private: true}.Client(10 * time.Second), Now: time.Now,
	}
	if len(c.OIDC.Roles) > 0 {
		p.GroupsClaim = c.OIDC.GroupsClaim
	}
	return p
}

// userUnlink is the command user unlink, for a person with another account at the provider.
func (p *program) userUnlink(ctx context.Context, flags *flag.FlagSet) error {
	return p.withAccounts(ctx, func(ctx context.Context, accounts *account.Service) error {
		u, err := db.UserByEmail(ctx, accounts.DB, flags.Arg(0))
		if db.IsNotFound(err) {
			return fmt.Errorf("there is nobody with the address %s", flags.Arg(0))
		}
		if err != nil {
			return err
		}
		if err := accounts.Unlink(ctx, nil, u.ID); err != nil {
			return plainError(err)
		}
		fmt.Fprintf(p.stdout, "%s has no account at the single sign-on any more. Their sign-ins have ended.\n", u.Name)
		return nil
	})
}
