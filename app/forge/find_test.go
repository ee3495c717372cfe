package forge

import (
	"strconv"
	"strings"
	"testing"
)

func TestRemoteAddressesOfPublicForgesAreDetected(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address    string
		kind       Kind
		base, repo string
	}{
		{"https://github.com/owner/name.git", GitHub, "https://github.com", "owner/name"},
		{"https://user:token@GitHub.com/owner/name/", GitHub, "https://github.com", "owner/name"},
		{"git@github.com:owner/name.git", GitHub, "https://github.com", "owner/name"},
		{"ssh://git@ssh.github.com:443/owner/name.js.git", GitHub, "https://github.com", "owner/name.js"},
		{"https://firm.ghe.com/owner/name", GitHub, "https://firm.ghe.com", "owner/name"},
		{"https://gitlab.com/a/b/c/d.git", GitLab, "https://gitlab.com", "a/b/c/d"},
		{"git@gitlab.com:a/b.git", GitLab, "https://gitlab.com", "a/b"},
		{"https://codeberg.org/forgejo/forgejo.git", Gitea, "https://codeberg.org", "forgejo/forgejo"},
		{"https://dev.azure.com/org/My%20Project/_git/My%20Repo", Azure, "https://dev.azure.com",
			"org/My Project/My Repo"},
		{"https://org@dev.azure.com/org/project/_git/repo", Azure, "https://dev.azure.com", "org/project/repo"},
		{"https://dev.azure.com/org/_git/repo", Azure, "https://dev.azure.com", "org/repo/repo"},
		{"git@ssh.dev.azure.com:v3/org/My%20Project/repo", Azure, "https://dev.azure.com", "org/My Project/repo"},
		{"org@vs-ssh.visualstudio.com:v3/org/project/repo", Azure, "https://dev.azure.com", "org/project/repo"},
		{"https://org.visualstudio.com/project/_git/repo", Azure, "https://dev.azure.com", "org/project/repo"},
		{"https://org.visualstudio.com/DefaultCollection/project/_git/repo", Azure, "https://dev.azure.com",
			"org/project/repo"},
		{"https://org.visualstudio.com/_git/repo", Azure, "https://dev.azure.com", "org/repo/repo"},
	} {
		want := Repository{tt.kind, tt.base, tt.repo}
		if got, ok := Detect(tt.address); !ok || got != want {
			t.Errorf("%s is %v (%v); want %v", tt.address, got, ok, want)
		}
	}
	for _, address := range []string{
		"", "/srv/git/x", "../x", "file:///srv/x", "C:\\git\\x", "https://github.com", "https://github.com/owner",
		"https://github.com/a/b/c", "https://github.com/a/../b",
		"https://github.com.evil.example/a/b", "https://evil.example/github.com/a/b", "https://git.example.org/a/b",
		"git@github.com:a", "https://dev.azure.com/a/b/c/_git/d",
		"https://dev.azure.com/org/project", "javascript://github.com/a/b", "https://github.com/a%2f..%2f..%2fb/c",
		"https://notghe.com/a/b", "https://.visualstudio.com/_git/", "ssh://", "https://[::1/a/b",
		"https://github.com/a/b\x00",
	} {
		if got, ok := Detect(address); ok {
			t.Errorf("%q is %v; want none", address, got)
		}
	}
}

func TestRepositoriesOfOnesOwnForgeAreReadRelativeToIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind          Kind
		base, address string
		repo          string
	}{
		{Gitea, "https://git.example.org", "https://git.example.org/o/n.git", "o/n"},
		{Gitea, "https://git.example.org:3000", "https://git.example.org:3000/o/n", "o/n"},
		{Gitea, "https://git.example.org:3000", "https://git.example.org/o/n", ""},
		{Gitea, "https://example.org/gitea/", "https://example.org/gitea/o/n", "o/n"},
		{Gitea, "https://example.org/gitea", "ssh://git@ssh.example.org:2222/o/n.git", "o/n"},
		{Gitea, "https://example.org/gitea", "https://example.org/o/n", ""},
		{GitLab, "https://example.org/gitlab", "https://example.org/gitlab/a/b/c.git", "a/b/c"},
		{GitHub, "https://ghe.example.org", "git@ghe.example.org:o/n.git", "o/n"},
		{Azure, "https://tfs.example.org/tfs", "https://tfs.example.org/tfs/DefaultCollection/Project/_git/Repo",
			"DefaultCollection/Project/Repo"},
		{Azure, "https://tfs.example.org/tfs", "https://tfs.example.org/tfs/DefaultCollection/_git/Repo",
			"DefaultCollection/Repo/Repo"},
		{Azure, "https://dev.azure.com", "https://org.visualstudio.com/p/_git/r", "org/p/r"},
		{Azure, "https://dev.azure.com", "https://else.example.org/p/_git/r", ""},
		{GitHub, "", "https://github.com/o/n", ""},
	} {
		if repo, ok := RepositoryAt(tt.kind, tt.base, tt.address); repo != tt.repo && ok || ok != (tt.repo != "") {
			t.Errorf("%s at %s is %q (%v); want %q", tt.address, tt.base, repo, ok, tt.repo)
		}
	}
}

func TestPullRequestsAreFoundInText(t *testing.T) {
	t.Parallel()
	const hub, lab, tea, azure = "https://github.com/o/r/pull/3", "https://gitlab.com/g/s/r/-/merge_requests/12",
		"https://codeberg.org/o/r/pulls/3", "https://dev.azure.com/org/p/_git/r/pullrequest/7"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "no address here, https://github.com/o/r/issues/3 and #3", nil},
		{"all four, the last first", hub + " " + lab + "\n" + tea + "\t" + azure, []string{azure, tea, lab, hub}},
		{"once each, by its last mention", hub + " " + lab + " " + hub, []string{hub, lab}},
		{"once, however written", "https://github.com/O/R/pull/3 http://GITHUB.com/o/r/pull/3/files?w=1#diff-1",
			[]string{hub}},
		{"with a sentence around it", "See " + hub + ". Or (" + lab + "), \"" + tea + "\"; '" + azure + "'!",
			[]string{azure, tea, lab, hub}},
		{"in Markdown", "[#3](" + hub + ") **" + lab + "** _" + tea + "_ <" + azure + "> `" + hub + "`",
			[]string{hub, azure, tea, lab}},
		{"as text and target of a link", "[" + hub + "](" + hub + ")", []string{hub}},
		{"in colors", "\x1b[1;34m" + hub + "\x1b[0m", []string{hub}},
		{"with a color inside", "https://github.com/o/r/pull/\x1b[1m3\x1b[22m4",
			[]string{"https://github.com/o/r/pull/34"}},
		{"as a link of the terminal", "\x1b]8;id=1;" + hub + "\x1b\\#3\x1b]8;;\x1b\\ and \x1b]8;;" + lab +
			"\a!12\x1b]8;;\a", []string{lab, hub}},
		{"in JSON", `{"url":"` + hub + `","x":"https:\/\/gitlab.com\/g\/s\/r\/-\/merge_requests\/12\nDone"}`,
			[]string{lab, hub}},
		{"in HTML", `<a href="` + hub + `">x</a>`, []string{hub}},
		{"with a zero-width space", hub + "\u200b, " + lab + "…", []string{lab, hub}},
		{"hosts of one's own",
			"http://localhost:3000/o/r/pulls/4 https://ghe.example.org/o/r/pull/5 " +
				"https://git.example.org/g/r/-/merge_requests/6/diffs",
			[]string{"https://git.example.org/g/r/-/merge_requests/6", "https://ghe.example.org/o/r/pull/5",
				"http://localhost:3000/o/r/pulls/4"}},
		{"under a path",
			"https://example.org/gitea/o/r/pulls/4 https://tfs.example.org/tfs/Coll/P/_git/R/pullrequest/9?_a=files",
			[]string{"https://tfs.example.org/tfs/Coll/P/_git/R/pullrequest/9",
				"https://example.org/gitea/o/r/pulls/4"}},
		{"an address of IPv6", "http://[::1]:3000/o/r/pulls/4", []string{"http://[::1]:3000/o/r/pulls/4"}},
		{"addresses of before",
			"https://gitlab.com/g/r/merge_requests/2 " +
				"https://org.visualstudio.com/DefaultCollection/P/_git/R/pullrequest/8",
			[]string{"https://dev.azure.com/org/P/_git/R/pullrequest/8", "https://gitlab.com/g/r/-/merge_requests/2"}},
		{"without the password in it", "https://user:s3cret@github.com/o/r/pull/3", []string{hub}},
		{"names with dots and spaces",
			"https://github.com/o.x/r.js/pull/3 https://dev.azure.com/org/My%20P/_git/My%20R/pullrequest/7",
			[]string{"https://dev.azure.com/org/My%20P/_git/My%20R/pullrequest/7",
				"https://github.com/o.x/r.js/pull/3"}},
		{"not an API",
			"https://api.github.com/repos/o/r/pulls/3 https://git.example.org/api/v1/repos/o/r/pulls/3 " +
				"https://gitlab.com/api/v4/projects/1/merge_requests/3", nil},
		{"not one yet to be made",
			"https://github.com/o/r/pull/new/branch https://gitlab.com/g/r/-/merge_requests/new?x=1 " +
				"https://codeberg.org/o/r/compare/main...b", nil},
		{"no number",
			"https://github.com/o/r/pull/0 https://github.com/o/r/pull/3a " +
				"https://github.com/o/r/pull/99999999999999999999 https://github.com/o/r/pull/", nil},
		{"nothing that leads away",
			"https://github.com/../r/pull/3 https://github.com/%2e%2e/r/pull/3 https://github.com/a%2fb/r/pull/3 " +
				"https://github.com/%zz/r/pull/3", nil},
		{"the host is what counts", "https://github.com@evil.example/o/r/pull/3",
			[]string{"https://evil.example/o/r/pull/3"}},
		{"the kind fits the host", "https://github.com/o/r/pulls/3 https://gitlab.com/o/r/pull/3", nil},
		{"what gh prints", "\nCreating pull request for feature into main in o/r\n\nhttps://github.com/o/r/pull/3\n",
			[]string{hub}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range FindURLs(tt.text) {
				got = append(got, p.URL)
				if !p.Forge.Valid() || !validRepository(p.Forge, p.Repository) || p.Number <= 0 || p.Key() == "" {
					t.Errorf("found %+v", p)
				}
			}
			if !strings.EqualFold(strings.Join(got, " "), strings.Join(tt.want, " ")) {
				t.Errorf("found %q; want %q", got, tt.want)
			}
		})
	}
}

// BenchmarkFindHard searches 64 KiB of what begins an address again and again.
func BenchmarkFindHard(b *testing.B) {
	for name, hard := range map[string]string{
		"addresses": "https://a", "links of a terminal": "\x1b]8;;", "escapes": "\x1b[", "users": "https://a:b@",
		"folders": "https://github.com/" + strings.Repeat("a/", 50),
	} {
		text := strings.Repeat(hard, (64<<10)/len(hard))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				FindURLs(text)
			}
		})
	}
}

func TestSearchingLongTextIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200 {
		b.WriteString("https://github.com/o/r/pull/" + strconv.Itoa(i+1) + " ")
	}
	if list := FindURLs(b.String()); len(list) != maxFound || list[0].Number != 200 {
		t.Errorf("found %d, the first %+v", len(list), list[0])
	}
	if list := FindURLs("https://github.com/o/r/pull/3 " + strings.Repeat("x", maxText)); len(list) != 0 {
		t.Errorf("found %+v before the end that is read", list)
	}
	if list := FindURLs("https://github.com/o/" + strings.Repeat("r", 3000) + "/pull/3"); len(list) != 0 {
		t.Errorf("found %+v", list)
	}
}

func TestKeysAreEqualForEqualPullRequests(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"https://github.com/O/R/pull/3", "https://github.com/o/r/pull/3/commits"},
		{"https://gitlab.com/g/r/merge_requests/3", "https://gitlab.com/G/r/-/merge_requests/3#note_1"},
		{"https://org.visualstudio.com/p/_git/r/pullrequest/3", "https://dev.azure.com/org/p/_git/r/pullrequest/3"},
	} {
		a, b := FindURLs(pair[0]), FindURLs(pair[1])
		if len(a) != 1 || len(b) != 1 || a[0].Key() != b[0].Key() {
			t.Errorf("%v are %+v and %+v", pair, a, b)
		}
	}
	a, b := FindURLs("https://github.com/o/r/pull/3"), FindURLs("https://ghe.example.org/o/r/pull/3")
	if a[0].Key() == b[0].Key() {
		t.Error("equal keys on two hosts")
	}
	// The webhook's address and the one in text are of one pull request, in whatever form.
	e, err := Parse(GitLab, eventHeader(GitLab, "Merge Request Hook"), read(t, "gitlab/merge_request_create.json"))
	if found := FindURLs("https://gitlab.com/gitlab-org/hello-world/-/merge_requests/1"); err != nil ||
		found[0].Key() != e.PullRequest.Key() {
		t.Errorf("%s and %s, %v", found[0].Key(), e.PullRequest.Key(), err)
	}
	if key := (PullRequest{Repository: "o/r", Number: 1}).Key(); key != "" {
		t.Errorf("without an address the key is %q", key)
	}
}

func FuzzFindURLs(f *testing.F) {
	f.Add("see https://github.com/o/r/pull/3.")
	f.Add("\x1b]8;;https://gitlab.com/g/r/-/merge_requests/1\a!1\x1b]8;;\a")
	f.Add("https://x:y@org.visualstudio.com/_git/r/pullrequest/1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range FindURLs(text) {
			again := FindURLs(p.URL)
			if len(again) != 1 || again[0] != p {
				t.Errorf("%q gave %+v, and that %+v", text, p, again)
			}
		}
	})
}
