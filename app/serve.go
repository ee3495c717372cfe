package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/term"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/git"
	"carillon/app/inbox"
	"carillon/app/mcp"
	"carillon/app/middleware"
	"carillon/app/outbound"
	"carillon/app/plan"
	"carillon/app/provider"
	"carillon/app/runas"
	"carillon/app/secret"
	"carillon/app/ticket"
	"carillon/app/toggle"
	"carillon/app/web"
	"carillon/app/web/page"
	"carillon/app/web/signin"
	"carillon/app/webhook"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/embedded"
	"carillon/jobs"
)

// serve runs the application: it opens its resources, runs the roles of this process until ctx ends, and closes the
// resources in the reverse order.
func (p *program) serve(ctx context.Context, _ *flag.FlagSet) (err error) {
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) { // the process was asked to stop during the start
			err = nil
		}
	}()
	c, err := readConfig(p.getenv)
	if err != nil {
		return err
	}
	log := newLog(c, p.stderr)
	if err := agent.ProtectMemory(); err != nil { // a child must not read the server's environment from /proc
		log.Warn("conceal the environment", "err", err)
	}
	keys, err := loadKeys(c)
	if err != nil {
		return err
	}
	if err := c.findAgentUser(); err != nil {
		return err
	}
	// The address is opened first, so that a second server fails before it uses a database.
	var listener net.Listener
	if c.has(roleWeb) {
		if listener, err = net.Listen("tcp", c.Addr); err != nil {
			return fmt.Errorf("CARILLON_ADDR: listen on %s: %w", c.Addr, reason(err))
		}
		defer listener.Close() //nolint:errcheck // the server has closed it, unless the start failed
		if c.URL.Host == c.Addr {
			c.URL.Host = reachable(c.Addr, listener.Addr())
		}
	}
	opened, err := openDatabase(ctx, c, log)
	if err != nil {
		return err
	}
	defer opened.close()
	if c.agents != nil && c.DatabaseURL == "" && c.agents.Belongs(filepath.Join(c.Data, "postgres", "cluster")) {
		return fmt.Errorf(
			"CARILLON_AGENT_USER: the embedded database runs as the user %s, who can read all of it; name another one",
			c.agents.Name)
	}
	database := opened.DB
	if err := prepare(ctx, database); err != nil {
		return err
	}
	clock := &db.Clock{}
	if err := clock.Sync(ctx, database); err != nil {
		return err
	}
	agents := newCatalogue(c)
	agents.now = clock.Now
	if err := agents.reload(ctx, database); err != nil {
		return err
	}
	rules := newRules(c, agents, database, keys, log)
	rules.Workspaces.Conceals = func(path string) string {
		return agent.HiddenReason(path, c.agents, hiddenPaths(c, opened.address))
	}
	if err := rules.Workspaces.EnsureScratch(ctx); err != nil {
		return err
	}
	accounts := newAccounts(c, database, rules, keys, log)
	setup, err := p.firstAdministrator(ctx, c, accounts)
	if err != nil {
		return err
	}
	return p.runRoles(ctx, c, log, &parts{
		database: database, clock: clock, gone: opened.gone, address: opened.address, agents: agents, rules: rules,
		accounts: accounts, keys: keys, listener: listener, setup: setup,
	})
}

// findAgentUser finds the user that agents and scripts of this worker run as. It returns an error if the setting names
// a user that cannot be used: the worker never falls back to its own user.
func (c *config) findAgentUser() error {
	if c.AgentUser == "" || !c.has(roleWorker) {
		return nil
	}
	u, err := runas.LookUp(c.AgentUser)
	if err != nil {
		return fmt.Errorf("CARILLON_AGENT_USER: %w", err)
	}
	syscall.Umask(0o022) // the user must be able to read files that Git writes
	if err := (&git.Store{Root: c.Data, User: u}).Prepare(); err != nil {
		return fmt.Errorf("CARILLON_AGENT_USER: %w", err)
	}
	if !u.Uses(filepath.Join(c.Data, "runs")) {
		return fmt.Errorf(
			"CARILLON_AGENT_USER: the user %s cannot reach CARILLON_DATA, %s: a folder above it is closed to others",
			u.Name, c.Data)
	}
	c.agents = u
	return nil
}

// syncClock synchronizes the clock with the database until ctx ends. The clock continues while the database is
// unavailable.
func syncClock(ctx context.Context, clock *db.Clock, database *db.DB) error {
	tick := time.NewTicker(db.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			asking, cancel := context.WithTimeout(ctx, db.SyncEvery)
			_ = clock.Sync(asking, database) // an unavailable database is logged by others
			cancel()
		}
	}
}

// reachable is the address for people: with the actual port for port 0, and with a host if the server listens on all.
func reachable(asked string, got net.Addr) string {
	host, port, err := net.SplitHostPort(asked)
	if err != nil {
		return got.String()
	}
	if tcp, ok := got.(*net.TCPAddr); ok {
		port = strconv.Itoa(tcp.Port)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// parts are the resources of the roles.
type parts struct {
	database *db.DB
	clock    *db.Clock // time of all rules
	gone     <-chan error
	address  string // of the database
	agents   *catalogue
	rules    *automation.Service
	accounts *account.Service
	keys     *secret.Keys
	listener net.Listener
	setup    string // token of the one-time link; may be empty
}

// runRoles runs the roles until ctx ends or one of them fails. HTTP ends first, and then the loops.
func (p *program) runRoles(ctx context.Context, c *config, log *slog.Logger, x *parts) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var loops sync.WaitGroup
	loop := func(name string, run func(context.Context) error) {
		loops.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	loop("database", func(ctx context.Context) error {
		select {
		case err := <-x.gone: // a nil channel never sends
			return err
		case <-ctx.Done():
			return nil
		}
	})
	loop("clock", func(ctx context.Context) error { return syncClock(ctx, x.clock, x.database) })
	loop("providers", x.agents.watchChanges(x.database, log))
	machine := func(ctx context.Context) db.Machine { return inspectMachine(ctx, c, x.database) }
	logMachine(log, machine(ctx))
	store := newStore(c, log)
	var runner *jobs.Runner
	var scheduler *jobs.Scheduler
	if c.has(roleWorker) {
		worker, release, err := workerID(c)
		if err != nil {
			return err
		}
		defer release()
		runner = &jobs.Runner{
			DB: x.database, Rules: x.rules, Store: store, Providers: x.agents.providers, Worker: worker,
			Max: c.MaxSessions, Data: c.Data, Now: x.rules.Now, Log: log,
			Forge: outbound.Policy{Private: c.Private}.Client(jobs.ForgeTimeout),
		}
		runner.MCP = toolsAddress(c, x.listener)
		runner.Hidden, runner.Shown = hiddenPaths(c, x.address), c.Shown
		runner.Limits = c.Limits
		runner.Init()
		loop("worker", runner.Run)
		detector := newAgentDetector(x.agents, x.database, worker, c.MaxSessions, log)
		detector.machine = machine
		loop("agent detector", detector.run)
	} else {
		loop("presence", (&presence{db: x.database, now: x.clock.Now, look: machine, log: log}).run)
	}
	if c.has(roleScheduler) {
		scheduler = &jobs.Scheduler{
			DB: x.database, Rules: x.rules, Resumable: jobs.Resumable(x.agents.providers), Now: x.rules.Now, Log: log,
			Copies: newCopies(c, x, log),
			Forge:  outbound.Policy{Private: c.Private}.Client(jobs.ForgeTimeout),
		}
		scheduler.Init()
		loop("scheduler", scheduler.Run)
	}
	if runner != nil || scheduler != nil {
		loop("wake-ups", func(ctx context.Context) error {
			wake := func(topic string, id uuid.UUID) {
				switch {
				case runner != nil && topic == "queue":
					runner.Wake()
				case runner != nil && (topic == "cancel" || topic == "interrupt"):
					runner.CheckStopRequests()
				case scheduler != nil && topic == "schedule":
					scheduler.Wake(ctx)
				case scheduler != nil && topic == "delivery":
					scheduler.WakeCopies(ctx)
				}
			}
			return x.database.Listen(ctx, log, func() {
				wake("queue", uuid.Nil)
				wake("schedule", uuid.Nil)
				wake("delivery", uuid.Nil)
			}, wake)
		})
	}
	var stopHTTP func()
	if c.has(roleWeb) {
		server := &web.Server{
			Site: page.Site{
				DB: x.database, Accounts: x.accounts, Rules: x.rules, Keys: x.keys, Providers: x.agents.providers,
				Inbox:      &inbox.Service{DB: x.database, Now: x.rules.Now},
				Tickets:    &ticket.Service{DB: x.database, Now: x.rules.Now},
				Workspaces: x.rules.Workspaces, ProviderRules: x.rules.Providers,
				Toggles: &toggle.Service{DB: x.database, Now: x.rules.Now},
				Found:   x.agents.bestFound, Workers: x.agents.liveWorkers, PublicURL: c.URL, Proxies: c.Proxies,
				Now: x.rules.Now, Log: log,
			},
			SignIn:    signin.Pages{SetupToken: x.setup, SignOn: newSignOn(c), SignOnName: c.OIDC.Name},
			Workflows: newWorkflows(x.rules), Bots: newBots(x.rules), Gallery: c.Gallery,
		}
		if c.SMTP != nil {
			server.Settings.Letter = (&jobs.Mail{Server: c.SMTP, From: c.SMTPFrom}).SendNow
		}
		if scheduler != nil {
			server.SincePass = scheduler.SincePass
		}
		server.Metrics = promhttp.HandlerFor(newMetrics(x.database, x.rules.Now, scheduler), promhttp.HandlerOpts{})
		server.Init()
		loop("live pages", server.Runs.Listen)
		site := server.HTTP(newDoors(c, x, server, log))
		loops.Go(func() {
			if err := site.Serve(x.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve: %w", err))
			}
		})
		stopHTTP = func() {
			wait, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer done()
			if err := site.Shutdown(wait); err != nil {
				_ = site.Close()
			}
		}
	}
	p.printAddress(c, x.setup)
	<-ctx.Done()
	log.Info("stopping", "cause", context.Cause(ctx))
	if stopHTTP != nil {
		stopHTTP()
	}
	loops.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// newDoors is the one table of routes, which the door of pages and the doors of programs add theirs to.
func newDoors(c *config, x *parts, pages *web.Server, log *slog.Logger) *middleware.Routes {
	tokens := &middleware.Tokens{
		Proxies: c.Proxies, Person: x.accounts.ActorByToken, Bad: middleware.NewBadTokenLimiter(),
	}
	calls := &webhook.Server{
		Rules: x.rules, Workspaces: x.rules.Workspaces, PublicURL: c.URL, Tokens: tokens,
		Calls: webhook.NewCallLimiter(c.TriggerRate),
		Now:   x.rules.Now, Log: log,
	}
	programs := &api.Server{
		DB: x.database, Accounts: x.accounts, Rules: x.rules, Workflows: pages.Workflows, Bots: pages.Bots,
		Tickets: pages.Tickets, Inbox: pages.Inbox, Workspaces: pages.Workspaces, Providers: pages.ProviderRules,
		Plans: &plan.Service{
			DB: x.database, Keys: x.keys, Automations: x.rules, Workflows: pages.Workflows, Bots: pages.Bots,
		},
		Found: x.agents.bestFound, PublicURL: c.URL, Tokens: tokens, Log: log,
	}
	tools := &mcp.Server{
		DB: x.database, Rules: x.rules, Tickets: pages.Tickets, Workspaces: pages.Workspaces, PublicURL: c.URL,
		Tokens: tokens, Log: log,
	}
	pages.Envelope, pages.APIHelp = calls.Envelope, programs.Help
	routes := &middleware.Routes{}
	pages.Routes(routes)
	calls.Routes(routes)
	programs.Routes(routes)
	tools.Routes(routes)
	return routes
}

// toolsAddress is the address of the MCP server for agents of this process: this process's own address if it serves the
// web, because the worker may not reach the public one, and otherwise the public address.
func toolsAddress(c *config, listener net.Listener) string {
	if listener == nil {
		return c.URL.JoinPath("mcp").String()
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return c.URL.JoinPath("mcp").String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/mcp"
}

// printAddress prints the address to open, or the roles of a process that serves no pages.
func (p *program) printAddress(c *config, setup string) {
	if !c.has(roleWeb) {
		fmt.Fprintf(p.stdout, "Carillon is ready as %s\n", strings.Join(c.Roles, " and "))
		return
	}
	fmt.Fprintf(p.stdout, "Carillon is ready at %s\n", c.URL)
	if setup != "" {
		link := c.URL.JoinPath("setup")
		link.RawQuery = url.Values{"token": {setup}}.Encode()
		fmt.Fprintf(p.stdout, "Nobody has an account yet. Open this link, which works once, to make yours:\n  %s\n",
			link)
	}
}

// firstAdministrator creates the first administrator of the settings, or returns the token of the link for the setup.
func (p *program) firstAdministrator(ctx context.Context, c *config, accounts *account.Service) (string, error) {
	done, err := accounts.IsSetUp(ctx)
	if err != nil || done {
		return "", err
	}
	if c.AdminEmail == "" {
		return secret.Token(), nil
	}
	name, _, _ := strings.Cut(c.AdminEmail, "@")
	_, err = accounts.Setup(ctx, account.NewUser{Email: c.AdminEmail, Name: name, Password: c.AdminPassword})
	if errors.Is(err, account.ErrSetUp) { // another server has created it
		return "", nil
	}
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return "", fmt.Errorf("CARILLON_ADMIN_EMAIL and CARILLON_ADMIN_PASSWORD do not do: %w", invalid)
	}
	return "", err
}

// newLog makes a logger to stderr: text on a terminal, otherwise JSON.
func newLog(c *config, stderr io.Writer) *slog.Logger {
	format := c.LogFormat
	if format == "" {
		format = "json"
		if f, ok := stderr.(*os.File); ok && isTerminal(f) {
			format = "text"
		}
	}
	if format == "text" {
		return slog.New(newQuiet(slog.NewTextHandler(stderr, nil)))
	}
	return slog.New(newQuiet(slog.NewJSONHandler(stderr, nil)))
}

// loadKeys reads the secret of the settings, or the one in the data folder.
func loadKeys(c *config) (*secret.Keys, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("CARILLON_DATA: make the folder %s: %w", c.Data, reason(err))
	}
	text := c.Secret
	if text == "" {
		var err error
		if text, err = secret.LoadOrCreate(filepath.Join(c.Data, "secret")); err != nil {
			return nil, err
		}
	}
	return secret.Parse(text)
}

// openDB is an open database.
type openDB struct {
	*db.DB
	gone  <-chan error // receives an error when the embedded server cannot be restarted; nil for an external server
	close func()

	address string // of the database
}

// openDatabase opens the database of the settings, or starts the embedded server.
func openDatabase(ctx context.Context, c *config, log *slog.Logger) (*openDB, error) {
	if c.DatabaseURL != "" {
		database, err := waitForDatabase(ctx, c.DatabaseURL, log)
		if err != nil {
			return nil, fmt.Errorf("DATABASE_URL: %w", err)
		}
		return &openDB{DB: database, address: c.DatabaseURL, close: func() { _ = database.Close() }}, nil
	}
	server, err := embedded.Start(ctx, embedded.Config{Dir: filepath.Join(c.Data, "postgres"), Bin: c.PGBin, Log: log})
	if c.PGBin != "" && errors.Is(err, embedded.ErrNoBinaries) {
		err = fmt.Errorf("CARILLON_PG_BIN: %w", err)
	}
	if err != nil {
		return nil, err
	}
	database, err := db.Open(ctx, server.URL(embedded.Name))
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return &openDB{DB: database, address: server.URL(embedded.Name), gone: server.Gone(), close: func() {
		_ = database.Close()
		if err := server.Stop(); err != nil {
			log.Error("stop the database", "err", err)
		}
	}}, nil
}

// joinDatabase is openDatabase for a command. If a server with the same data folder runs, the command uses its
// database.
func joinDatabase(ctx context.Context, c *config, log *slog.Logger) (*openDB, error) {
	if c.DatabaseURL == "" {
		if address, ok := embedded.Running(filepath.Join(c.Data, "postgres")); ok {
			if database, err := db.Open(ctx, address); err == nil {
				return &openDB{DB: database, close: func() { _ = database.Close() }}, nil
			}
		}
	}
	return openDatabase(ctx, c, log)
}

// databaseTimeout is how long a start waits for a database that does not answer.
const databaseTimeout = time.Minute

// waitForDatabase opens a database, and waits for a server that is not ready. It returns errors at once that waiting
// does not solve.
func waitForDatabase(ctx context.Context, address string, log *slog.Logger) (*db.DB, error) {
	deadline := time.Now().Add(databaseTimeout)
	told := false
	for {
		database, err := db.Open(ctx, address)
		if err == nil || !db.IsUnavailable(err) || time.Now().After(deadline) || ctx.Err() != nil {
			return database, err
		}
		if !told {
			told = true
			log.Warn("the database does not answer; waiting for it", "up_to", databaseTimeout, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// newStore makes the store of repositories. The policy of people's webhooks applies to remotes.
func newStore(c *config, log *slog.Logger) *git.Store {
	store := &git.Store{Root: c.Data, Log: log, User: c.agents}
	if c.has(roleWorker) && c.agents == nil {
		store.Confine = agent.NewConfiner(context.Background())
	}
	if !c.Private {
		store.Reach = outbound.Policy{}.Reach
	}
	return store
}

// newProviders makes the rules of providers over the catalogue.
func newProviders(agents *catalogue, database *db.DB) *provider.Service {
	return &provider.Service{
		DB: database, Now: agents.now, List: agents.known,
		Changed: func(ctx context.Context) error { return agents.reload(ctx, database) },
	}
}

// newWorkspaces makes the rules of workspaces.
func newWorkspaces(c *config, providers *provider.Service, database *db.DB, keys *secret.Keys,
	log *slog.Logger) *workspace.Service {
	store := newStore(c, log)
	return &workspace.Service{
		DB: database, Now: providers.Now, Keys: keys, Providers: providers, LocalRepositories: c.LocalRepositories,
		Probe: func(ctx context.Context, r workspace.Remote) (string, fault.Invalid) {
			return probe(ctx, store, r)
		},
		Sandboxed: func(ctx context.Context) bool { return c.Sandbox && agent.SandboxAvailable(ctx, c.agents) == nil },
	}
}

// newRules makes the service of the rules.
func newRules(c *config, agents *catalogue, database *db.DB, keys *secret.Keys, log *slog.Logger) *automation.Service {
	providers := newProviders(agents, database)
	return &automation.Service{
		DB: database, Now: agents.now, Keys: keys, Log: log, Providers: providers,
		Workspaces: newWorkspaces(c, providers, database, keys, log),
	}
}

// newWorkflows wires the rules of workflows to those of the automations that use them.
func newWorkflows(rules *automation.Service) *workflow.Service {
	return &workflow.Service{
		DB: rules.DB, Now: rules.Now, Keys: rules.Keys, RunsScripts: rules.Providers.RunsScripts,
		Changed: rules.Definitions().StopAutomating, Lost: rules.Definitions().DisableUsers,
	}
}

// newBots wires the rules of bots to those of the automations that use them.
func newBots(rules *automation.Service) *bot.Service {
	return &bot.Service{
		DB: rules.DB, Now: rules.Now, Provider: rules.Providers.Find,
		Changed: rules.Definitions().StopAutomating, Lost: rules.Definitions().DisableUsers,
	}
}

func newAccounts(c *config, database *db.DB, rules *automation.Service, keys *secret.Keys,
	log *slog.Logger) *account.Service {
	s := &account.Service{
		DB: database, Now: rules.Now, Keys: keys, Log: log, Outbound: outbound.Policy{Private: c.Private},
		Mail: c.SMTP != nil, Joined: rules.Workspaces.JoinScratch,
		SignOn: account.SignOn{AutoCreate: c.OIDC.AutoCreate, Roles: c.OIDC.Roles},
	}
	for _, k := range inbox.Kinds {
		s.NoticeKinds = append(s.NoticeKinds, k.Kind)
	}
	return s
}

// newCopies makes the Deliverer of copies of notices.
func newCopies(c *config, x *parts, log *slog.Logger) *jobs.Deliverer {
	d := &jobs.Deliverer{
		DB: x.database, Rules: x.rules, HTTP: outbound.Policy{Private: c.Private}.Client(jobs.HookTimeout),
		Key: x.accounts.WebhookKey, PublicURL: c.URL, Now: x.rules.Now, Log: log,
	}
	if c.SMTP != nil {
		d.Mail = &jobs.Mail{Server: c.SMTP, From: c.SMTPFrom}
	}
	return d
}

// probe checks a repository, and returns problems by the field of the form.
func probe(ctx context.Context, store *git.Store, r workspace.Remote) (string, fault.Invalid) {
	if err := git.CheckURL(r.URL); err != nil {
		return "", fault.Invalid{"url": sentence(err)}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	branch, branches, err := store.Probe(ctx, git.Remote{
		URL: r.URL, Token: r.Token, Branch: r.Branch, Anywhere: r.Anywhere,
	})
	var missing *git.NoBranch
	switch {
	case err == nil:
		switch {
		case branch != "":
			return branch, nil
		case len(branches) == 0: // an empty repository: the first commit creates the branch
			return "main", nil
		default: // its HEAD names no branch
			return "", fault.Invalid{
				"branch": "The repository names no default branch. Choose one of: " +
					strings.Join(branches[:min(10, len(branches))], ", ") + ".",
			}
		}
	case errors.As(err, &missing):
		return "", fault.Invalid{"branch": sentence(err)}
	case errors.Is(err, git.ErrCredentials):
		return "", fault.Invalid{"token": sentence(err)}
	default:
		return "", fault.Invalid{"url": sentence(err)}
	}
}

// sentence makes a sentence for a person from an error. Some errors are sentences already, and may begin with a
// repository's name.
func sentence(err error) string {
	var missing *git.NoBranch
	var bad git.BadURL
	if errors.As(err, &missing) || errors.As(err, &bad) {
		return err.Error()
	}
	return fault.Sentence(strings.TrimSpace(err.Error()))
}

// workerID is the name in the leases of this data folder's worker. It locks the folder, because only one process may
// use it: so processes of a former one are known to have ended.
func workerID(c *config) (string, func(), error) {
	f, err := os.OpenFile(filepath.Join(c.Data, "worker"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("open the worker's file: %w", err)
	}
	release := func() { _ = f.Close() }
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		release()
		return "", nil, fmt.Errorf("another worker uses the folder %s; give each its own CARILLON_DATA", c.Data)
	}
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		release()
		return "", nil, fmt.Errorf("read the worker's file: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if _, err := uuid.Parse(id); err == nil {
		return id, release, nil
	}
	id = uuid.NewString()
	if err := errors.Join(f.Truncate(0), writeAt(f, id+"\n"), f.Sync()); err != nil {
		release()
		return "", nil, fmt.Errorf("write the worker's file: %w", err)
	}
	return id, release, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// reason is the message of the system, without the text that Go adds.
func reason(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// readHidden asks for a password on a terminal.
func readHidden(f *os.File, w io.Writer) (string, error) {
	fmt.Fprint(w, "Password: ")
	text, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(w)
	return string(text), err
}
