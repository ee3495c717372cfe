package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKilledServerLeavesNoProcessAndNoRunInFlight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		settings func(t *testing.T) []string
	}{
		{"the embedded database", func(*testing.T) []string { return nil }},
		{"a database of its own", func(t *testing.T) []string { return []string{onDatabase(t)} }},
	} {
		t.Run("with "+tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, slices.Concat(asAdministrator, tt.settings(t))...)
			v := visit(t, s)
			gates := folder(t)
			mark := "MARK=" + filepath.Base(gates) + filepath.Base(s.data)
			// One child stays in its group, one leaves it and ignores what it is asked.
			automation := v.automation(t, "Long one", fmt.Sprintf(`export %s
sleep 3600 &
setsid bash -c "trap '' TERM HUP INT; touch '%[2]s/child'; while :; do sleep 1; done" &
until [ -e '%[2]s/child' ]; do sleep 0.02; done
if [ -e '%[2]s/again' ]; then exit 0; fi
touch '%[2]s/started'
wait
`, mark, gates))
			session := v.run(t, automation)
			exists(t, filepath.Join(gates, "started"))
			// A child that has yet to become its program does not show the mark.
			eventually(t, "the script and its children to run", func() bool { return marked(t, mark) >= 3 })
			if is := v.fact(t, session, "Run"); is != "Running" {
				t.Fatalf("the run is %s; want Running", is)
			}

			s.kill(t)
			s.start(t)
			v.ends(t, session, "Failed")
			history := v.get(t, automation).said()
			if want := "interrupted by a restart"; !strings.Contains(strings.ToLower(history), want) {
				t.Errorf("the history says %q; want %q in it", history, want)
			}
			eventually(t, "the processes of the run to be gone", func() bool { return marked(t, mark) == 0 })

			touch(t, filepath.Join(gates, "again"))
			v.ends(t, v.run(t, automation), "Succeeded")
			eventually(t, "the processes of the next run to be gone", func() bool { return marked(t, mark) == 0 })
		})
	}
}

func TestStoppedServerWaitsForNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	v := visit(t, s)
	gates := folder(t)
	mark := "MARK=" + filepath.Base(gates) + filepath.Base(s.data)
	automation := v.automation(t, "Patient one", fmt.Sprintf("export %s\necho Waiting\ntouch '%s/started'\nsleep 3600\n", mark, gates))
	session := v.run(t, automation)
	exists(t, filepath.Join(gates, "started"))
	stream, err := v.client.Get(s.base + session + "/stream?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close() //nolint:errcheck // the server ends it
	if _, err := stream.Body.Read(make([]byte, 1)); err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream answered %d, %v; want that it has begun", stream.StatusCode, err)
	}

	s.stop(t) // does not wait for the hour of the run
	if n := marked(t, mark); n != 0 {
		t.Errorf("%d processes of the run are left", n)
	}
	s.start(t)
	v.ends(t, session, "Failed")
	if history := v.get(t, automation).said(); !strings.Contains(strings.ToLower(history), "interrupted by a restart") {
		t.Errorf("the history says %q; want that a restart interrupted it", history)
	}
}
