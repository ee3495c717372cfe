package account

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/db"
)

// Not parallel: it puts a counter in the place of the turns in which passwords are hashed.
func TestSignInHashesOnceWhoeverAsks(t *testing.T) {
	s, _ := installation(t)
	person(t, s, "m@example.com", RoleMember)
	gone := person(t, s, "gone@example.com", RoleMember)
	check(t, s.Deactivate(t.Context(), nil, gone.ID))
	elsewhere := person(t, s, "sso@example.com", RoleMember)
	check(t, db.SetPasswordHash(t.Context(), s.DB, elsewhere.ID, "", s.Now()))

	turns := hashing
	defer func() { hashing = turns }()
	hashing = make(chan struct{}) // each hash begins and ends when the test says so
	for _, tt := range []struct{ name, email, password string }{
		{"a wrong password", "m@example.com", other},
		{"an unknown address", "nobody@example.com", good},
		{"a deactivated person", "gone@example.com", good},
		{"somebody without a password", "sso@example.com", ""},
		{"a password of 1 MB", "m@example.com", strings.Repeat("x", 1<<20)},
		{"an address of 1 MB", strings.Repeat("x", 1<<20), good},
		{"nothing at all", "", ""},
	} {
		done := make(chan error, 1)
		go func() {
			_, err := s.SignIn(t.Context(), tt.email, tt.password, "192.0.2.1", "test")
			done <- err
		}()
		hashes := 0
		for err := error(nil); err == nil; {
			select {
			case <-hashing: // a hash begins
				hashes++
				hashing <- struct{}{} // and ends
			case err = <-done:
				if err == nil || err.Error() != ErrWrongCredentials.Error() {
					t.Fatalf("%s: got %v; want the one text %q", tt.name, err, ErrWrongCredentials)
				}
			case <-time.After(patience):
				t.Fatalf("%s: neither hashed nor answered", tt.name)
			}
		}
		if hashes != 1 {
			t.Errorf("%s: hashed %d times; want once", tt.name, hashes)
		}
	}
}

// Nobody has such a password, and if they had, hashing it would cost the server as much as the sender likes.
func TestAPasswordOfAMegabyteIsNotEvenHashed(t *testing.T) {
	s, _ := installation(t)
	u := person(t, s, "m@example.com", RoleMember)
	long := strings.Repeat("x", 1<<20)
	check(t, db.SetPasswordHash(t.Context(), s.DB, u.ID, s.hash(long), s.Now()))
	if _, err := s.SignIn(t.Context(), "m@example.com", long, "192.0.2.1", "test"); !errors.Is(err,
		ErrWrongCredentials) {
		t.Errorf("got %v; want it to be refused for its length alone", err)
	}
}

func TestPasswordsAreHashedWithParametersAndMadeAnewWhenTheseChange(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	s.PasswordMemory = 0 // as on every server
	u := person(t, s, "m@example.com", RoleMember)
	stored := func() string {
		row, err := db.UserByID(t.Context(), s.DB, u.ID)
		check(t, err)
		return row.PasswordHash
	}
	today := fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$", hashMemory, hashTime, hashThreads)
	if !strings.HasPrefix(stored(), today) || strings.Contains(stored(), good) {
		t.Fatalf("stored %q; want argon2id with its parameters", stored())
	}
	cheap := "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + keyOf(good, 64)
	check(t, db.SetPasswordHash(t.Context(), s.DB, u.ID, cheap, s.Now()))
	if _, err := signIn(t, s, "m@example.com", other); !errors.Is(err, ErrWrongCredentials) || stored() != cheap {
		t.Errorf("a wrong password gave %v and left %q; want it refused and nothing changed", err, stored())
	}
	if _, err := signIn(t, s, "m@example.com", good); err != nil || !strings.HasPrefix(stored(), today) {
		t.Errorf("the right one gave %v and left %q; want it made anew", err, stored())
	}
	if _, err := signIn(t, s, "m@example.com", good); err != nil {
		t.Errorf("the new form gave %v; want a login", err)
	}
}

func TestAttemptsAreThrottledPerPersonAndNetworkWhetherThePersonExistsOrNot(t *testing.T) {
	t.Parallel()
	s, c := installation(t)
	person(t, s, "m@example.com", RoleMember)
	begun := c.now()
	const guesser = "198.51.100.1"
	for _, email := range []string{"m@example.com", "nobody@example.com"} {
		for range attemptsPerPair - 2 { // as that many more would leave them
			k := attemptKeys(email, guesser)
			check(t, db.AddSignInFailure(t.Context(), s.DB, begun, k.pair, k.email, k.address))
		}
		for i := range 2 {
			if _, err := s.SignIn(t.Context(), email, other, guesser, ""); !errors.Is(err, ErrWrongCredentials) {
				t.Fatalf("attempt %d for %s gave %v; want ErrWrongCredentials", i+1, email, err)
			}
		}
		for _, spelling := range []string{email, " " + strings.ToUpper(email)} {
			_, err := s.SignIn(t.Context(), spelling, good, guesser, "")
			var throttled *Throttled
			if !errors.As(err, &throttled) || !throttled.Until.Equal(begun.Add(attemptWindow)) {
				t.Errorf("the next for %s, with the right password, gave %v; want to wait until %s", spelling, err,
					begun.Add(attemptWindow))
			}
		}
	}
	if _, err := s.SignIn(t.Context(), "m@example.com", good, "192.0.2.7", ""); err != nil {
		t.Errorf("the person themselves, from elsewhere: %v; want a login, whoever guesses", err)
	}
	c.move(attemptWindow)
	if _, err := s.SignIn(t.Context(), "m@example.com", good, guesser, ""); err != nil {
		t.Errorf("when the wait was over: %v; want a login, whatever was refused meanwhile", err)
	}
}

func TestGuessingFromManyNetworksIsBoundedButNotWhereThePersonIsSignedIn(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	person(t, s, "m@example.com", RoleMember)
	if _, err := s.SignIn(t.Context(), "m@example.com", good, "2001:db8:1:2::1", ""); err != nil {
		t.Fatal(err)
	}
	for range attemptsPerEmail { // as that many networks would leave them
		check(t, db.AddSignInFailure(t.Context(), s.DB, s.Now(), attemptKeys("m@example.com", "").email))
	}
	var throttled *Throttled
	if _, err := s.SignIn(t.Context(), "m@example.com", good, "192.0.2.200", ""); !errors.As(err, &throttled) {
		t.Errorf("from a network of nobody's: %v; want to wait", err)
	}
	if _, err := s.SignIn(t.Context(), "m@example.com", good, "2001:db8:1:2::99", ""); err != nil {
		t.Errorf("from where the person is signed in: %v; want a login", err)
	}
	if _, err := s.SignIn(t.Context(), "m@example.com", good, "2001:db8:1:2::1", ""); err != nil {
		t.Errorf("again: %v; want a login", err)
	}
}

func TestAttemptsAreThrottledPerNetwork(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	person(t, s, "m@example.com", RoleMember)
	for _, tt := range []struct{ name, from, same, another string }{
		{"one address of IPv4", "203.0.113.7", "203.0.113.7", "203.0.113.8"},
		{"the half of IPv6 that a subscriber has", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"},
	} {
		now := s.Now()
		for range attemptsPerAddress { // as that many addresses of people would leave them
			check(t, db.AddSignInFailure(t.Context(), s.DB, now, attemptKey("address", network(tt.from))))
		}
		var throttled *Throttled
		if _, err := s.SignIn(t.Context(), "m@example.com", good, tt.same, ""); !errors.As(err, &throttled) {
			t.Errorf("%s: from %s: %v; want to wait", tt.name, tt.same, err)
		}
		if _, err := s.SignIn(t.Context(), "m@example.com", good, tt.another, ""); err != nil {
			t.Errorf("%s: from %s: %v; want a login", tt.name, tt.another, err)
		}
	}
}

func TestASuccessLeavesNothingToCount(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	person(t, s, "m@example.com", RoleMember)
	k := attemptKeys("m@example.com", "192.0.2.1")
	for range attemptsPerPair - 1 { // as that many wrong passwords would leave them
		check(t, db.AddSignInFailure(t.Context(), s.DB, s.Now(), k.pair, k.email, k.address))
	}
	if _, err := signIn(t, s, "m@example.com", good); err != nil {
		t.Fatalf("the last attempt there is: %v; want a login", err)
	}
	for _, tt := range []struct {
		name string
		key  []byte
		want int64
	}{{"the person from there", k.pair, 0}, {"the person", k.email, attemptsPerPair - 1},
		{"the address", k.address, attemptsPerPair - 1}} {
		if got, err := db.SignInFailures(t.Context(), s.DB, tt.key, s.Now().Add(-attemptWindow)); err != nil ||
			got != tt.want {
			t.Errorf("%d count for %s (%v); want %d", got, tt.name, err, tt.want)
		}
	}
}

// Not parallel: it puts something of its own in the place of the turns in which passwords are hashed.
func TestManyAttemptsAtOnceDoNotPassTheLimitTogether(t *testing.T) {
	s, _ := installation(t)
	person(t, s, "m@example.com", RoleMember)
	turns := hashing
	defer func() { hashing = turns }()
	hashing = make(chan struct{}, 100) // no guess waits for another
	var mu sync.Mutex
	checked := 0
	var all sync.WaitGroup
	for range 3 * attemptsPerPair {
		all.Go(func() {
			_, err := s.SignIn(t.Context(), "m@example.com", other, "192.0.2.1", "")
			var throttled *Throttled
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrWrongCredentials):
				checked++
			case !errors.As(err, &throttled):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if checked > attemptsPerPair {
		t.Errorf("%d guesses were checked; want at most %d", checked, attemptsPerPair)
	}
}

// Not parallel: it holds back the turns in which passwords are hashed.
func TestAPasswordThatWasReplacedWhileCheckedMakesNoLogin(t *testing.T) {
	s, _ := installation(t)
	u := person(t, s, "m@example.com", RoleMember)
	turns := hashing
	defer func() { hashing = turns }()
	hashing = make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := s.SignIn(t.Context(), "m@example.com", good, "192.0.2.1", "")
		done <- err
	}()
	<-hashing // the old password is being checked
	check(t, db.SetPasswordHash(t.Context(), s.DB, u.ID, s.dummyHash(), s.Now()))
	check(t, db.DeleteLogins(t.Context(), s.DB, u.ID, [16]byte{}))
	hashing <- struct{}{}
	for {
		select {
		case <-hashing: // it is checked again, against the new one
			hashing <- struct{}{}
		case err := <-done:
			if !errors.Is(err, ErrWrongCredentials) {
				t.Errorf("got %v; want ErrWrongCredentials", err)
			}
			logins, err := db.Logins(t.Context(), s.DB, u.ID, s.Now())
			if len(logins) != 0 || err != nil {
				t.Errorf("%d logins are left, %v; want none", len(logins), err)
			}
			return
		case <-time.After(patience):
			t.Fatal("neither hashed nor answered")
		}
	}
}

// keyOf is the key of a password under a cheaper cost than today's, with a salt of zeros.
func keyOf(password string, memory uint32) string {
	return base64.RawStdEncoding.EncodeToString(derive(password, make([]byte, saltLength), 1, memory, 1))
}
