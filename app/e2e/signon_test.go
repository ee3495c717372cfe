package e2e

import (
	"crypto/rand"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"carillon/app/e2e/internal/stage"
)

// TestASingleSignOnWorksInABrowser goes through the pages of a real provider, so that the browser itself judges the
// redirects, the cookies and the content security policy.
func TestASingleSignOnWorksInABrowser(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	site := httptest.NewUnstartedServer(mux) // until it knows its client: what it keeps is not for many at once
	t.Cleanup(site.Close)
	issuer := "http://" + site.Listener.Addr().String()
	clients := map[string]*storage.Client{}
	people := storage.NewUserStore(issuer)
	store := storage.NewStorageWithClients(people, clients)
	config := &op.Config{CodeMethodS256: true}
	rand.Read(config.CryptoKey[:]) //nolint:errcheck // never fails, by its documentation
	provider, err := op.NewProvider(config, store, op.StaticIssuer(issuer), op.WithAllowInsecure(),
		op.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /login/username", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w,
			`<!DOCTYPE html><title>Provider</title><h1>Provider</h1><form method="post"><input type="hidden" name="id" value="%s"><button>Go on</button></form>`,
			html.EscapeString(r.FormValue("authRequestID")))
	})
	mux.Handle("POST /login/username", op.NewIssuerInterceptor(provider.IssuerFromRequest).
		HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := store.CheckUsernamePassword("test-user2", "verysecure", r.PostFormValue("id")); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			http.Redirect(w, r, op.AuthCallbackURL(provider)(r.Context(), r.PostFormValue("id")), http.StatusFound)
		}))
	mux.Handle("/", provider)

	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{
		stage.OnDatabase(t), "CARILLON_OIDC_ISSUER=" + issuer, "CARILLON_OIDC_CLIENT_ID=carillon",
		"CARILLON_OIDC_CLIENT_SECRET=known to both",
		"CARILLON_OIDC_AUTO_CREATE=on", "CARILLON_OIDC_NAME=Sign in with Acme",
	})...)
	clients["carillon"] = storage.WebClient("carillon", "known to both", s.Base+"/login/sso/callback")
	site.Start()
	script(t, s, "signon")
}
