package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"carillon/app/api"
	"carillon/app/manifest"
)

// The flags of apply and export.
const (
	fileHelp = "`FILE` with automations, workflows and bots as YAML; - is standard input, a folder stands for its " +
		".yaml and .yml files.\n" +
		"May be given several times"
	serverHelp = "`URL` of the server"
	applyHelp  = `Shows what applying the files would change, asks, and applies exactly that: all of it or nothing. Names tell what is meant: a document
changes the automation, workflow or bot of its kind, workspace and name, or makes a new one. What a file leaves out of a document is
as in a new form; secrets and whether an automation is on stay as they are. Nothing is deleted without --prune. A secret is best taken
from the environment: signature_secret: {from_env: NAME}.

The token comes from CARILLON_TOKEN: make one under Settings, API tokens.`
	exportHelp = `Writes what you see of automations, workflows and bots to standard output, as apply takes it. Secrets are left out.

The token comes from CARILLON_TOKEN: make one under Settings, API tokens.`
)

// manifestCommands are the commands that use a server's API with an API token.
func manifestCommands() []command {
	server := func(f *flag.FlagSet) {
		f.String("server", "", serverHelp+" (default CARILLON_URL, else the listen address of the settings)")
	}
	return []command{
		{name: "apply", options: "-f FILE",
			help:  "Apply automations, workflows and bots from YAML files to a server, after showing the plan",
			about: applyHelp, run: (*program).apply, flags: func(f *flag.FlagSet) {
				server(f)
				f.Var(&stringList{}, "f", fileHelp)
				f.Bool("yes", false, "apply without asking")
				f.Bool("dry-run", false, "show the plan and stop")
				f.Bool("prune", false,
					"delete what the files lack, within the workspaces that they name, as far as you may")
				f.Bool("exit-code", false, "with --dry-run: exit with status 3 when there is something to change")
			}},
		{name: "export", help: "Write automations, workflows and bots of a server as YAML", about: exportHelp,
			run: (*program).export, flags: func(f *flag.FlagSet) {
				server(f)
				f.String("workspace", "", "only those of the workspace with this `NAME`")
			}},
	}
}

// stringList is the value of a flag that may be given several times.
type stringList []string

func (t *stringList) String() string { return strings.Join(*t, ", ") }

func (t *stringList) Set(text string) error {
	*t = append(*t, text)
	return nil
}

// usageError is an error in a command line.
type usageError string

func (m usageError) Error() string        { return string(m) }
func (m usageError) Is(target error) bool { return target == errUsage }

// errDiffers sets the exit status of a plan with changes. It is not printed.
var errDiffers = errors.New("there is something to change")

func isSet(flags *flag.FlagSet, name string) bool { return flags.Lookup(name).Value.String() == "true" }

func (p *program) apply(ctx context.Context, flags *flag.FlagSet) error {
	paths := *flags.Lookup("f").Value.(*stringList)
	dry, yes := isSet(flags, "dry-run"), isSet(flags, "yes")
	switch {
	case len(paths) == 0:
		return usageError("give a file with -f")
	case isSet(flags, "exit-code") && !dry:
		return usageError("--exit-code goes with --dry-run")
	case slices.Contains(paths, "-") && !yes && !dry:
		return usageError(
			"-f - reads the files from standard input, so nobody can be asked: give --yes or --dry-run, too")
	}
	c, err := p.client(flags)
	if err != nil {
		return err
	}
	in := api.Manifest{Environment: map[string]string{}, Prune: isSet(flags, "prune")}
	if in.Files, err = p.manifestFiles(paths); err != nil {
		return err
	}
	for _, f := range in.Files {
		for _, name := range manifest.Variables(manifest.File(f)) {
			if slices.Contains(reservedVariables, name) {
				return fmt.Errorf("%s takes %s from the environment, which no file gets", f.Name, name)
			}
			if text := p.getenv(name); text != "" {
				in.Environment[name] = text
			}
		}
	}
	var plan, done api.Plan
	if err := c.call(ctx, http.MethodPost, "plans", in, &plan); err != nil {
		return err
	}
	show := printer{w: p.stdout, colours: p.colours()}
	show.plan(&plan)
	changes := plan.Counts.Create+plan.Counts.Update+plan.Counts.Delete > 0
	switch {
	case !changes:
		return nil
	case dry && isSet(flags, "exit-code"):
		return errDiffers
	case dry:
		return nil
	case !yes:
		if err := p.confirm(); err != nil {
			return err
		}
	}
	if err := c.call(ctx, http.MethodPost, "applications",
		api.Application{Manifest: in, Fingerprint: plan.Fingerprint}, &done); err != nil {
		return err
	}
	show.applied(&done)
	return nil
}

// reservedVariables are variables that no manifest may read, because they give access to Carillon itself.
var reservedVariables = []string{"CARILLON_TOKEN", "CARILLON_SECRET", "CARILLON_ADMIN_PASSWORD", "DATABASE_URL"}

// confirm asks whether to continue. It returns an error without a terminal.
func (p *program) confirm() error {
	f, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(f) {
		return errors.New("nothing was applied: nobody can be asked here; give --yes to apply without asking")
	}
	fmt.Fprint(p.stdout, "\nApply this? Only yes is taken for it: ")
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return errors.New("nothing was applied")
	}
	return nil
}

// manifestFiles reads files, those of folders, and standard input.
func (p *program) manifestFiles(paths []string) ([]api.ManifestFile, error) {
	var list []api.ManifestFile
	size := 0
	add := func(name string, from io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(from, manifest.MaxSize+1))
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if size += len(text); size > manifest.MaxSize {
			return fmt.Errorf("the files are over %d MiB together", manifest.MaxSize>>20)
		}
		if !utf8.Valid(text) { // JSON would change it silently
			return fmt.Errorf("%s is not UTF-8", name)
		}
		if slices.ContainsFunc(list, func(f api.ManifestFile) bool { return f.Name == name }) {
			return usageError(name + " is given twice")
		}
		list = append(list, api.ManifestFile{Name: name, Content: string(text)})
		return nil
	}
	open := func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, reason(err))
		}
		defer f.Close() //nolint:errcheck // only read
		return add(path, f)
	}
	for _, path := range paths {
		if path == "-" {
			if err := add("standard input", p.stdin); err != nil {
				return nil, err
			}
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, reason(err))
		}
		if !info.IsDir() {
			if err := open(path); err != nil {
				return nil, err
			}
			continue
		}
		entries, err := os.ReadDir(path) // by name
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, reason(err))
		}
		found := false
		for _, e := range entries {
			if e.IsDir() || strings.HasPrefix(e.Name(), ".") || !manifest.IsManifest(e.Name()) {
				continue
			}
			found = true
			if err := open(filepath.Join(path, e.Name())); err != nil {
				return nil, err
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no .yaml or .yml file in %s", path)
		}
	}
	return list, nil
}

func (p *program) export(ctx context.Context, flags *flag.FlagSet) error {
	c, err := p.client(flags)
	if err != nil {
		return err
	}
	path := "export"
	if name := flags.Lookup("workspace").Value.String(); name != "" {
		path += "?" + url.Values{"workspace": {name}}.Encode()
	}
	var text []byte
	if err := c.call(ctx, http.MethodGet, path, nil, &text); err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}

// client calls the API of a server.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
}

func (p *program) client(flags *flag.FlagSet) (*client, error) {
	given, from := flags.Lookup("server").Value.String(), "--server"
	if given == "" {
		given, from = p.getenv("CARILLON_URL"), "CARILLON_URL"
	}
	if given == "" {
		c, err := readConfig(p.getenv)
		if err != nil {
			return nil, err
		}
		given = "http://" + c.Addr
	}
	base, err := url.Parse(given)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, usageError(fmt.Sprintf("%s: %q is no address such as https://carillon.example.com", from, given))
	}
	token := strings.TrimSpace(p.getenv("CARILLON_TOKEN"))
	if token == "" {
		return nil, errors.New("CARILLON_TOKEN is not set: make a token under Settings, API tokens")
	}
	return &client{base: base, token: token, http: &http.Client{
		Timeout: 2 * time.Minute,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error { // the token is for the given address alone
			return fmt.Errorf("it sends on to %s: give that address if it is right", r.URL.Host)
		},
	}}, nil
}

// maxAnswer bounds the bytes that are read of an answer.
const maxAnswer = 64 << 20

// call sends a request to a path of the API. It decodes the answer's JSON into out, or copies the bytes if out is a
// *[]byte.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	place, query, _ := strings.Cut(path, "?")
	at := c.base.JoinPath("/api/v1", place)
	at.RawQuery = query
	r, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("User-Agent", "carillon/"+versionText())
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("%s cannot be reached: %w", c.base, reason(err))
	}
	defer res.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if res.StatusCode != http.StatusOK {
		return c.refusal(res, text)
	}
	if raw, is := out.(*[]byte); is {
		*raw = text
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s does not answer as Carillon does: is the address right?", c.base)
	}
	return nil
}

// refusal makes an error of an answer that is not a success.
func (c *client) refusal(res *http.Response, text []byte) error {
	var problem api.Problem
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") ||
		json.Unmarshal(text, &problem) != nil {
		return fmt.Errorf("%s answered %s, and not as Carillon does: is the address right?", c.base, res.Status)
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return errors.New(
			"the token in CARILLON_TOKEN is not good, or not any more: make one under Settings, API tokens")
	case res.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s has no %s: is it of an older version? This is %s", c.base, res.Request.URL.Path,
			versionText())
	case res.StatusCode == http.StatusConflict:
		return errors.New("nothing was applied: something has changed since the plan was made. Look at the plan again")
	case len(problem.Errors) == 0:
		return errors.New(strings.TrimSuffix(problem.Detail, "."))
	}
	var list manifest.Mistakes
	for _, e := range problem.Errors {
		list = append(list, manifest.Mistake{File: e.File, Line: e.Line, Field: e.Field, Text: e.Message})
	}
	if len(list) == 1 {
		return errors.New(printable(list[0].String()))
	}
	return fmt.Errorf("there are %d mistakes\n%s", len(list), printable(list.Error()))
}
