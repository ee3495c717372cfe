package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// version is set by the linker for releases.
var version = ""

// The exit statuses.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	// exitDiffers is the status of a plan with changes, if a flag asks for it.
	exitDiffers = 3
)

// program is one call of the binary, with its input and output.
type program struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// command is a subcommand. run gets the arguments after its name.
type command struct {
	name, args, help string
	options          string // required flags, for its usage
	about            string // further text of its own --help
	run              func(p *program, ctx context.Context, flags *flag.FlagSet) error
	flags            func(flags *flag.FlagSet)
}

// usage is the command line of a command, for its help.
func (c command) usage() string {
	return strings.Join(strings.Fields(c.name+" "+c.options+" "+c.args), " ")
}

var errUsage = errors.New("usage")

func commands() []command {
	return slices.Concat(serverCommands(), manifestCommands())
}

// serverCommands are the commands for the server itself.
func serverCommands() []command {
	return []command{
		{name: "serve", help: "Serve the application (the default)", run: (*program).serve},
		{name: "migrate", help: "Bring the database to this version and stop", run: (*program).migrate},
		{name: "user add", args: "EMAIL NAME", help: "Add a person; the password is read from standard input",
			run: (*program).userAdd, flags: func(f *flag.FlagSet) {
				f.String("role", account.RoleMember, "administrator, manager or member")
			}},
		{name: "user list", help: "List the people", run: (*program).userList},
		{
			name: "user reset-password", args: "EMAIL", help: "Give a person a new password, read from standard input",
			run: (*program).userReset,
		},
		{
			name: "user unlink", args: "EMAIL",
			help: "Forget a person's accounts at the single sign-on; the next sign-in there finds them by e-mail",
			run:  (*program).userUnlink,
		},
		{
			name: "user confirm-address", args: "EMAIL",
			help: "Confirm the changed address of a person, as a link in a mail to it does",
			run:  (*program).userConfirm,
		},
		{name: "config", help: "Print and check the settings in force, secrets masked",
			run: func(p *program, _ context.Context, _ *flag.FlagSet) error {
				printSettings(p.stdout, p.getenv)
				_, err := readConfig(p.getenv)
				return err
			}},
		checkCommand(),
		{name: "version", help: "Print the version", run: func(p *program, _ context.Context, _ *flag.FlagSet) error {
			fmt.Fprintln(p.stdout, "carillon", versionText())
			return nil
		}},
	}
}

// run executes a command line and returns the exit status. main and tests call it.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout,
	stderr io.Writer) int {
	p := &program{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && !isHelp(args[0]) {
		args = append([]string{"serve"}, args...)
	}
	if isHelp(args[0]) {
		p.usage(stdout)
		return exitOK
	}
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) < len(words) || strings.Join(args[:len(words)], " ") != c.name {
			continue
		}
		return p.call(ctx, c, args[len(words):])
	}
	fmt.Fprintf(stderr, "carillon: there is no command %q; see carillon --help\n", strings.Join(args, " "))
	return exitUsage
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "--help" || arg == "-help" || arg == "help"
}

func (p *program) call(ctx context.Context, c command, args []string) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if c.flags != nil {
		c.flags(flags)
	}
	help := func(w io.Writer) {
		fmt.Fprintf(w, "%s.\n\n", c.help)
		if c.about != "" {
			fmt.Fprintf(w, "%s\n\n", c.about)
		}
		fmt.Fprintf(w, "Usage: carillon %s\n", c.usage())
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		help(p.stdout)
		return exitOK
	}
	if err == nil && flags.NArg() != len(strings.Fields(c.args)) {
		err = fmt.Errorf("expected carillon %s", c.usage())
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "carillon: %s\n", err)
		help(p.stderr)
		return exitUsage
	}
	if err := c.run(p, ctx, flags); err != nil {
		if errors.Is(err, errDiffers) {
			return exitDiffers
		}
		fmt.Fprintf(p.stderr, "carillon: %s\n", err)
		if errors.Is(err, errUsage) {
			return exitUsage
		}
		return exitError
	}
	return exitOK
}

func (p *program) usage(w io.Writer) {
	fmt.Fprint(w,
		"Carillon runs coding agents for teams: by hand, at a date, by cron, in a loop, by webhook.\n\nUsage: "+
			"carillon [COMMAND]\n\n")
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", c.usage(), c.help)
	}
	_ = table.Flush()
	fmt.Fprint(w, "\nSettings, from the environment:\n\n")
	table = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", s.name, cmpDefault(s.byDefault), s.meaning)
	}
	_ = table.Flush()
}

func cmpDefault(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(development)"
}

// withAccounts opens the database for a command that changes people.
func (p *program) withAccounts(ctx context.Context,
	do func(ctx context.Context, accounts *account.Service) error) error {
	c, err := readConfig(p.getenv)
	if err != nil {
		return err
	}
	log := newLog(c, p.stderr)
	opened, err := joinDatabase(ctx, c, log)
	if err != nil {
		return err
	}
	defer opened.close()
	database := opened.DB
	if err := prepare(ctx, database); err != nil {
		return err
	}
	keys, err := loadKeys(c)
	if err != nil {
		return err
	}
	rules := newRules(c, newCatalogue(c), database, keys, log)
	if err := rules.Workspaces.EnsureScratch(ctx); err != nil {
		return err
	}
	return do(ctx, newAccounts(c, database, rules, keys, log))
}

func (p *program) migrate(ctx context.Context, _ *flag.FlagSet) error {
	return p.withAccounts(ctx, func(context.Context, *account.Service) error {
		fmt.Fprintln(p.stdout, "The database is up to date.")
		return nil
	})
}

// password reads a password from standard input: one line, without echo on a terminal.
func (p *program) password() (string, error) {
	if f, ok := p.stdin.(*os.File); ok && isTerminal(f) {
		return readHidden(f, p.stderr)
	}
	line, err := bufio.NewReader(io.LimitReader(p.stdin, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (p *program) userAdd(ctx context.Context, flags *flag.FlagSet) error {
	password, err := p.password()
	if err != nil {
		return err
	}
	return p.withAccounts(ctx, func(ctx context.Context, accounts *account.Service) error {
		u, err := accounts.Add(ctx, nil, account.NewUser{
			Email: flags.Arg(0), Name: flags.Arg(1), Password: password, Role: flags.Lookup("role").Value.String(),
		})
		if err != nil {
			return plainError(err)
		}
		fmt.Fprintf(p.stdout, "Added %s <%s>.\n", u.Name, u.Email)
		return nil
	})
}

// plainError makes one line for a terminal from an error of the rules.
func plainError(err error) error {
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return invalid
	}
	return err
}

func (p *program) userList(ctx context.Context, _ *flag.FlagSet) error {
	return p.withAccounts(ctx, func(ctx context.Context, accounts *account.Service) error {
		list, err := db.Users(ctx, accounts.DB)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(p.stdout, 0, 4, 2, ' ', 0)
		for _, u := range list {
			state := "active"
			if !u.DeactivatedAt.IsZero() {
				state = "deactivated " + u.DeactivatedAt.Format(time.DateOnly)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", u.Email, u.Name, u.RoleName, state)
		}
		return table.Flush()
	})
}

func (p *program) userReset(ctx context.Context, flags *flag.FlagSet) error {
	password, err := p.password()
	if err != nil {
		return err
	}
	return p.withAccounts(ctx, func(ctx context.Context, accounts *account.Service) error {
		u, err := db.UserByEmail(ctx, accounts.DB, flags.Arg(0))
		if db.IsNotFound(err) {
			return fmt.Errorf("there is nobody with the address %s", flags.Arg(0))
		}
		if err != nil {
			return err
		}
		if err := accounts.SetPassword(ctx, nil, u.ID, password); err != nil {
			return plainError(err)
		}
		fmt.Fprintf(p.stdout, "%s has a new password. Their sign-ins have ended.\n", u.Name)
		return nil
	})
}

func (p *program) userConfirm(ctx context.Context, flags *flag.FlagSet) error {
	return p.withAccounts(ctx, func(ctx context.Context, accounts *account.Service) error {
		u, err := db.UserByEmail(ctx, accounts.DB, flags.Arg(0))
		if db.IsNotFound(err) {
			return fmt.Errorf("there is nobody with the address %s", flags.Arg(0))
		}
		if err != nil {
			return err
		}
		if err := accounts.ConfirmAddress(ctx, u.ID); err != nil {
			return plainError(err)
		}
		fmt.Fprintf(p.stdout, "The address of %s is confirmed.\n", u.Name)
		return nil
	})
}

// prepare migrates a database and creates the built-in roles.
func prepare(ctx context.Context, database *db.DB) error {
	if err := db.Migrate(ctx, database); err != nil {
		return err
	}
	return database.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return account.EnsureRoles(ctx, tx, time.Now())
	})
}
