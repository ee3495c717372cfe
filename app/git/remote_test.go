package git

import (
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestURLsThatRunProgramsOrCarrySecretsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, want string }{
		{"https://example.com/team/project.git", ""},
		{"http://git.lan:3000/team/project", ""},
		{"ssh://git@example.com:2222/team/project.git", ""},
		{"git@example.com:team/project.git", ""},
		{"example.com:project", ""},
		{"/srv/git/project.git", ""},
		{"file:///srv/git/project.git", ""},
		{"", "Give the repository's URL"},
		{" https://example.com/a", "space"},
		{"ext::sh -c id", "would run a program"},
		{"user:secret@host:path", "has a password"},
		{"user:secret@example.com:team/p.git", "has a password"},
		{"ext::sh -c 'curl https://example.com/x'", "would run a program"},
		{"fd::17", "would run a program"},
		{"--upload-pack=touch /tmp/x", "dash"},
		{"-oProxyCommand=x", "dash"},
		{"ssh://-oProxyCommand=x/y", "no host"},
		{"ssh://-oProxyCommand=x@example.com/y", "dash"},
		{"-x@example.com:y", "dash"},
		{"git@example.com:-y", "dash"},
		{"https://example.com/a\nb", "control character"},
		{"https://example.com/a\x00b", "control character"},
		{"https://ada:s3cret@example.com/a", "own field"},
		{"https://s3cret@example.com/a", "own field"},
		{"ssh://git:s3cret@example.com/a", "password"},
		{"https://example.com/a?x=y", "no “?”"},
		{"https:///a", "no host"},
		{"https://example.com/", "no repository"},
		{"git://example.com/a", "not by “git”"},
		{"ftp://example.com/a", "not by “ftp”"},
		{"file://host/a", "three slashes"},
		{"../project", "whole URL"},
		{"project", "whole URL"},
		{"~/project", "whole URL"},
	} {
		err := CheckURL(tt.url)
		if got := text(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%q: got %q; want %q", tt.url, got, tt.want)
		}
		if strings.Contains(text(err), "s3cret") {
			t.Errorf("%q: the message tells the secret: %v", tt.url, err)
		}
	}
}

func TestProbeGivesBranchesAndTheDefault(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	standard, branches, err := s.Probe(t.Context(), remote)
	if err != nil || standard != "main" || strings.Join(branches, " ") != "develop main" {
		t.Errorf("got %q of %q, %v; want main of develop and main", standard, branches, err)
	}
	remote.URL = "file://" + remote.URL
	if _, _, err := s.Probe(t.Context(), remote); err != nil {
		t.Errorf("as a file URL: %v", err)
	}
}

func TestAMistypedBranchIsNamedWithTheOneMeant(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	for branch, near := range map[string]string{
		"mian": "main", "Main": "main", "master": "main", "devlop": "develop", "release/7": "",
	} {
		remote.Branch = branch
		_, branches, err := s.Probe(t.Context(), remote)
		var missing *NoBranch
		if !errors.As(err, &missing) || missing.Near != near || len(branches) != 2 {
			t.Errorf("%s: got %v with %q; want near %q", branch, err, branches, near)
		}
		if err := s.Sync(t.Context(), "w", remote); !errors.As(err, &missing) {
			t.Errorf("%s: Sync gave %v; want NoBranch", branch, err)
		}
	}
	err := &NoBranch{Repository: remote.name(), Branch: "mian", Near: "main"}
	if got, want := err.Error(), "payments-api has no branch “mian”. Did you mean main?"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestFailuresOfARemoteAreToldApart(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	locked := serve(t, "ada:right-token")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusInternalServerError)
	}))
	t.Cleanup(broken.Close)
	moved := httptest.NewServer(http.RedirectHandler(locked.URL, http.StatusMovedPermanently))
	t.Cleanup(moved.Close)
	folder := t.TempDir()

	for _, tt := range []struct {
		name   string
		remote Remote
		want   error
	}{
		{"right token", Remote{URL: locked.URL, Token: "ada:right-token"}, nil},
		{"wrong token", Remote{URL: locked.URL, Token: "wrong-token"}, ErrCredentials},
		{"no token", Remote{URL: locked.URL}, ErrCredentials},
		{"no such repository", Remote{
			URL: strings.Replace(locked.URL, "payments-api", "nothing", 1), Token: "ada:right-token",
		}, ErrNotRepository},
		{"moved, with a token", Remote{URL: moved.URL + "/x.git", Token: "ada:right-token"}, ErrMoved},
		{"nobody listens", Remote{URL: "http://" + closed.Addr().String() + "/x.git", Token: "right-token"},
			ErrUnreachable},
		{"the server fails", Remote{URL: broken.URL + "/x.git"}, ErrUnreachable},
		{"no such host", Remote{URL: "https://nowhere.invalid/x.git"}, ErrUnreachable},
		{"no such folder", Remote{URL: folder + "/nothing"}, ErrNotRepository},
		{"a folder without a repository", Remote{URL: folder}, ErrNotRepository},
		{"the data folder", Remote{URL: s.Root}, ErrNotRepository},
		{"another workspace's mirror", Remote{URL: "file://" + s.Root + "/repos/w.git"}, ErrNotRepository},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := s.Probe(t.Context(), tt.remote)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v; want %v", err, tt.want)
			}
			for _, secret := range []string{"right-token",
				base64.StdEncoding.EncodeToString([]byte("ada:right-token"))} {
				if strings.Contains(text(err), secret) {
					t.Errorf("the error tells the token: %v", err)
				}
			}
		})
	}
}

func TestATokenIsNotSentToWhereTheRemoteRedirects(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	stolen := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen <- r.Header.Get("Authorization")
		http.NotFound(w, r)
	}))
	t.Cleanup(thief.Close)
	forge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(forge.Close)
	if _, _, err := s.Probe(t.Context(), Remote{URL: forge.URL + "/x", Token: "s3cret"}); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v; want ErrMoved", err)
	}
	if len(stolen) > 0 {
		t.Errorf("the other host was asked, with %q", <-stolen)
	}
}

func TestAShortURLWorksWithAForgeThatRedirectsToTheLongOne(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	locked := serve(t, "ada:right-token")
	remote := Remote{URL: strings.TrimSuffix(locked.URL, ".git"), Token: "ada:right-token", Branch: "main"}
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.Dir, "x", "x")
	if _, err := s.Commit(t.Context(), w, "Add x", "", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(t.Context(), w, remote, ""); err != nil {
		t.Error(err)
	}
}

// served is a repository behind a web server that wants a login.
type served struct {
	URL string
	Dir string
}

// serve gives a repository by Git's own smart protocol. A URL without .git is redirected, as some forges do.
func serve(t *testing.T, login string) served {
	t.Helper()
	return serveThrough(t, login, func(next http.Handler) http.Handler { return next })
}

// serveThrough puts something of the test's own before the repository.
func serveThrough(t *testing.T, login string, before func(http.Handler) http.Handler) served {
	t.Helper()
	_, remote := setup(t)
	git(t, remote.URL, "config", "http.receivepack", "true")
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(remote.URL), "GIT_HTTP_EXPORT_ALL=1",
			"REMOTE_USER=ada"},
		InheritEnv: []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"},
		Stderr:     io.Discard,
	}
	server := httptest.NewServer(before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if login != "" && user+":"+password != login {
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
			http.Error(w, "Who are you?", http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/payments-api/") {
			http.Redirect(w, r, "/payments-api.git/"+strings.TrimPrefix(r.URL.RequestURI(), "/payments-api/"),
				http.StatusMovedPermanently)
			return
		}
		backend.ServeHTTP(w, r)
	})))
	t.Cleanup(server.Close)
	return served{URL: server.URL + "/payments-api.git", Dir: remote.URL}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
