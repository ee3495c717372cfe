package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// runner is as whom the programs run. PostgreSQL refuses to be root, so root needs another way.
type runner struct {
	// uid and gid own the cluster when root runs the programs as another user; 0 otherwise.
	uid, gid uint32
	// namespace hides root behind the user inside: to PostgreSQL a plain user, to the system still root.
	namespace *user.User
	// login is the user of this process as the server sees it.
	login string
	// warning is told to whoever starts the server.
	warning string
}

// chooseRunner decides as whom the programs run. Root runs them in a user namespace; where the system does
// not allow one, or another user made the cluster, as another user.
func chooseRunner(ctx context.Context, config Config, bin, cluster string) (runner, error) {
	owner := -1
	if info, err := os.Stat(cluster); err == nil {
		owner = int(info.Sys().(*syscall.Stat_t).Uid)
	}
	euid := os.Geteuid()
	if euid != 0 {
		if owner >= 0 && owner != euid {
			return runner{}, fmt.Errorf("%s belongs to user %s: run as that user, or give the folder to "+
				"the one who runs this", cluster, userName(owner))
		}
		return runner{login: userName(euid)}, nil
	}
	if owner <= 0 && !config.separate {
		if r, ok := namespaceRunner(ctx, bin, config.Dir); ok {
			return r, nil
		}
	}
	return userRunner(ctx, config.Dir, bin, cluster, owner)
}

// userRunner lets root run the programs as the owner of the cluster, else as postgres, else as nobody.
func userRunner(ctx context.Context, dir, bin, cluster string, owner int) (runner, error) {
	names := []string{"postgres", "nobody"}
	if owner > 0 {
		names = []string{userName(owner)}
	}
	var account *user.User
	for _, name := range names {
		if found, err := user.Lookup(name); err == nil {
			account = found
			break
		}
	}
	if account == nil {
		return runner{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user %s to run it as: "+
			"run as an ordinary user, or set DATABASE_URL", strings.Join(names, " or "))
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return runner{}, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return runner{}, err
	}
	r := runner{uid: uint32(uid), gid: uint32(gid), login: userName(os.Geteuid())}
	// The user must get through to the cluster; what else is in the folder stays closed by its own mode.
	if err := os.Chmod(dir, 0o711); err != nil {
		return runner{}, err
	}
	if err := r.tryRun(ctx, bin, dir); err != nil {
		return runner{}, fmt.Errorf("PostgreSQL does not run as root, and user %s cannot run it (%w): "+
			"run as an ordinary user, or put the programs and %s where that user can reach them, or set DATABASE_URL",
			account.Username, err, dir)
	}
	if owner == 0 {
		err := filepath.WalkDir(cluster, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return r.own(path)
		})
		if err != nil {
			return runner{}, err
		}
	}
	r.warning = fmt.Sprintf("PostgreSQL does not run as root, so it runs as user %s, who owns the database in %s. "+
		"Better run the whole program as an ordinary user", account.Username, cluster)
	return r, nil
}

// own gives a file to the user who runs the programs.
func (r runner) own(path string) error {
	if r.uid == 0 {
		return nil
	}
	return os.Lchown(path, int(r.uid), int(r.gid))
}

// tryRun finds out whether the programs can be run in the folder.
func (r runner) tryRun(ctx context.Context, bin, dir string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--version")
	cmd.Dir = dir
	cmd.Env = environment
	cmd.SysProcAttr = r.attributes()
	return cmd.Run()
}

// userName is the name of a user, or the number where it has none.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if found, err := user.LookupId(id); err == nil {
		return found.Username
	}
	return id
}
