package account

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost of a password's hash: OWASP's second recommendation for argon2id, 46 MiB and one pass.
const (
	hashMemory  = 47104 // KiB
	hashTime    = 1
	hashThreads = 1
	hashLength  = 32
	saltLength  = 16
)

// Bounds of a password. The upper bound limits the cost of hashing.
const (
	minPassword = 10   // characters
	maxPassword = 1024 // bytes
)

// hashing bounds how many passwords are hashed at once, since each takes that memory.
var hashing = make(chan struct{}, 4)

// hashMemory is the memory for new hashes, in KiB.
func (s *Service) hashMemory() uint32 { return cmp.Or(s.PasswordMemory, hashMemory) }

// hash gives the stored form of a password.
func (s *Service) hash(password string) string {
	salt := make([]byte, saltLength)
	rand.Read(salt) //nolint:errcheck // never fails, by its documentation
	return encodeHash(s.hashMemory(), salt, derive(password, salt, hashTime, s.hashMemory(), hashThreads))
}

// dummyHash is a stored form that no password has. Checking a password against it takes as long as against a real one.
func (s *Service) dummyHash() string {
	return encodeHash(s.hashMemory(), make([]byte, saltLength), make([]byte, hashLength))
}

// encodeHash gives the stored form of a key that was derived with a memory in KiB.
func encodeHash(memory uint32, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, hashTime, hashThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

func derive(password string, salt []byte, time, memory uint32, threads uint8) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, time, memory, threads, hashLength)
}

var errHash = errors.New("not a password hash")

// checkHash reports whether a password matches a stored form, and whether the form is outdated and should be replaced
// by a new hash.
func (s *Service) checkHash(stored, password string) (ok, outdated bool, err error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, false, errHash
	}
	var version int
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, false, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil {
		return false, false, errHash
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(key) != hashLength {
		return false, false, errHash
	}
	ok = subtle.ConstantTimeCompare(key, derive(password, salt, time, memory, threads)) == 1
	return ok, memory != s.hashMemory() || time != hashTime || threads != hashThreads, nil
}

// checkPassword gives the problem with a chosen password, or "".
func checkPassword(password string) string {
	switch {
	case password == "":
		return "Choose a password."
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Sprintf("Use at least %d characters.", minPassword)
	case len(password) > maxPassword:
		return fmt.Sprintf("Use at most %d bytes.", maxPassword)
	case !utf8.ValidString(password):
		return "This password has bytes that are not text."
	}
	return ""
}
