package provider

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// OwnVersion tells whether an agent that was added is still what it was.
func OwnVersion(own db.OwnProvider) string { return db.Fingerprint(own) }

// Input is an agent of an administrator's own as a person typed it.
type Input struct {
	Version  string // OwnVersion of what the person saw; empty is not compared
	Name     string `form:"name"`
	Command  string `form:"command"` // the program and its arguments, quoted as in a shell
	Keys     string `form:"keys"`    // names of variables, with spaces or commas between
	State    string `form:"state"`   // paths below the home folder, one a line
	Obeys    string `form:"obeys"`   // paths in a repository, one a line
	AutoMode string `form:"auto_mode"`
	ReadMode string `form:"read_mode"`
}

// Add adds an agent that speaks the Agent Client Protocol, and returns its id. Its command runs on the workers,
// so the actor must be allowed to run commands, too.
func (s *Service) Add(ctx context.Context, actor account.Actor, in Input) (string, error) {
	if err := mayAdd(actor); err != nil {
		return "", err
	}
	own, err := readOwn(in)
	if err != nil {
		return "", err
	}
	own.ID = slug(own.Name)
	err = s.change(ctx, actor, "", "provider.create", func(actor account.Actor, p *db.ProviderSettings) error {
		if err := mayAdd(actor); err != nil {
			return err
		}
		taken := func(id string) bool { _, known := s.Find(id); return known || ownIndex(p, id) >= 0 }
		for n, base := 2, own.ID; taken(own.ID); n++ {
			own.ID = fmt.Sprintf("%s-%d", base, n)
		}
		if err := requireUniqueName(p, s.List(), own); err != nil {
			return err
		}
		p.Own = append(p.Own, own)
		return nil
	})
	return own.ID, err
}

// Update changes an agent that was added.
func (s *Service) Update(ctx context.Context, actor account.Actor, id string, in Input) error {
	if err := mayAdd(actor); err != nil {
		return err
	}
	own, err := readOwn(in)
	if err != nil {
		return err
	}
	own.ID = id
	return s.change(ctx, actor, id, "provider.update",
		func(actor account.Actor, p *db.ProviderSettings) error {
			if err := mayAdd(actor); err != nil {
				return err
			}
			i := ownIndex(p, id)
			if i < 0 {
				return fault.ErrNotFound
			}
			if in.Version != "" && in.Version != OwnVersion(p.Own[i]) {
				return fault.ErrStale
			}
			if err := requireUniqueName(p, s.List(), own); err != nil {
				return err
			}
			p.Own[i] = own
			return nil
		})
}

// Remove removes an agent that was added. Automations that use it fail from then on, saying so.
func (s *Service) Remove(ctx context.Context, actor account.Actor, id string) error {
	err := s.change(ctx, actor, id, "provider.delete", func(_ account.Actor, p *db.ProviderSettings) error {
		i := ownIndex(p, id)
		if i < 0 {
			return fault.ErrNotFound
		}
		p.Own = slices.Delete(p.Own, i, i+1)
		p.Disabled = slices.DeleteFunc(p.Disabled, func(d string) bool { return d == id })
		delete(p.Models, id)
		return nil
	})
	if err != nil {
		return err
	}
	if err := db.DeleteTrial(ctx, s.DB, id); err != nil {
		return err
	}
	return s.endPausesOfGone(ctx, id)
}

// mayAdd refuses who may not say which commands run on the workers.
func mayAdd(actor account.Actor) error {
	if !actor.Can(account.ManageSettings) || !actor.Can(account.UseShell) {
		return fault.ErrForbidden
	}
	return nil
}

func ownIndex(p *db.ProviderSettings, id string) int {
	return slices.IndexFunc(p.Own, func(o db.OwnProvider) bool { return o.ID == id })
}

// requireUniqueName refuses a name that another provider has.
func requireUniqueName(p *db.ProviderSettings, all []Provider, own db.OwnProvider) error {
	same := slices.ContainsFunc(p.Own, func(o db.OwnProvider) bool {
		return o.ID != own.ID && strings.EqualFold(o.Name, own.Name)
	}) ||
		slices.ContainsFunc(all, func(o Provider) bool { return o.ID != own.ID && strings.EqualFold(o.Name, own.Name) })
	if same {
		return fault.Invalid{"name": "There is a provider of this name already."}
	}
	return nil
}

// mostOfOwn is how many variables, and how many paths, an agent that was added has at most.
const mostOfOwn = 100

// readOwn reads an agent as typed.
func readOwn(in Input) (db.OwnProvider, error) {
	bad := fault.Invalid{}
	own := db.OwnProvider{
		Name:     form.Name(bad, "name", "Give the agent a name.", in.Name, 60),
		AutoMode: form.Line(bad, "auto_mode", "", in.AutoMode, 100, false),
		ReadMode: form.Line(bad, "read_mode", "", in.ReadMode, 100, false),
	}
	command := form.Line(bad, "command", "Write the command that starts the agent.", in.Command, 2000, true)
	if bad["command"] == "" {
		var err error
		if own.Command, err = splitCommand(command); err != nil {
			bad["command"] = fault.Sentence(err.Error())
		}
	}
	for _, key := range strings.FieldsFunc(in.Keys, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		switch {
		case !keyName.MatchString(key):
			bad["keys"] = fmt.Sprintf(
				"%s is no name of a variable. A name has letters, digits and underscores; a * at its end stands for "+
					"any rest.", key)
		case strings.HasPrefix(key, "CARILLON_") || strings.HasPrefix(key, "DATABASE_URL"):
			bad["keys"] = key + " is a secret of Carillon itself, which no agent gets."
		default:
			own.Keys = append(own.Keys, key)
		}
	}
	for line := range strings.Lines(in.State) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "~/")
		if line == "" {
			continue
		}
		if clean := path.Clean(line); clean == "." || path.IsAbs(clean) || strings.HasPrefix(clean, "..") ||
			len(clean) > 200 {
			bad["state"] = line + " does not lie below the home folder. Write a path such as .config/agent."
		} else {
			own.State = append(own.State, clean)
		}
	}
	if len(own.Keys) > mostOfOwn {
		bad["keys"] = form.TooMany(len(own.Keys), "variables", mostOfOwn)
	}
	if len(own.State) > mostOfOwn {
		bad["state"] = form.TooMany(len(own.State), "paths", mostOfOwn)
	}
	own.Obeys = readObeyed(in.Obeys, bad)
	if len(bad) > 0 {
		return own, bad
	}
	return own, nil
}

// mostObeyed is how many files and folders of a repository an agent that was added may have hidden.
const mostObeyed = 50

// readObeyed reads the files and folders of a repository that steer an agent, one a line.
func readObeyed(typed string, bad fault.Invalid) []string {
	var list []string
	seen := form.Seen{}
	for line := range strings.Lines(typed) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		clean := path.Clean(strings.TrimPrefix(line, "/"))
		switch {
		case !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) || len(line) > 200:
			bad["obeys"] = "A path is over 200 bytes long, or has characters that cannot be shown."
		case clean == "." || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(clean, "*?["):
			bad["obeys"] = line +
				" is no path in a repository. Write one such as .agent/hooks.json, without signs that stand for others."
		case clean == ".git" || strings.HasPrefix(clean, ".git/"):
			bad["obeys"] = line + " belongs to Git, which the agent needs."
		case seen.Add(clean):
			list = append(list, clean)
		}
	}
	if len(list) > mostObeyed {
		bad["obeys"] = form.TooMany(len(list), "paths", mostObeyed)
	}
	return list
}

var keyName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{1,99}\*?$`)

// splitCommand splits a command as a shell does, with quotes and backslashes and nothing else: no shell ever sees it.
func splitCommand(command string) ([]string, error) {
	var list []string
	var word strings.Builder
	quote, in, escaped := rune(0), false, false
	for _, r := range command {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case unicode.IsSpace(r):
			if in {
				list = append(list, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("a quotation mark or a backslash is left open")
	}
	if in {
		list = append(list, word.String())
	}
	if len(list) == 0 || list[0] == "" {
		return nil, fmt.Errorf("the command names no program")
	}
	return list, nil
}

// slug makes an id of a name.
func slug(name string) string {
	id := strings.Trim(notID.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(id) > 40 {
		id = strings.Trim(id[:40], "-")
	}
	if id == "" {
		return "agent"
	}
	return id
}

var notID = regexp.MustCompile(`[^a-z0-9]+`)
