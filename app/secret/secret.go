// Package secret has the server's keys: it encrypts stored secrets and derives the keys of cookies. It also replaces
// secrets in text, in whatever form they stand there. It knows neither rows nor requests.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Keys are the keys derived from CARILLON_SECRET, newest first. The newest one encrypts and signs; all of them decrypt.
type Keys struct {
	sealing []cipher.AEAD
	cookies [][]byte
}

// ErrOpen says that no key decrypts a sealed text: it was sealed with another secret, or changed.
var ErrOpen = errors.New("sealed with another secret")

// Parse reads one or more keys of 32 bytes in base64, separated by commas, newest first.
func Parse(text string) (*Keys, error) {
	k := &Keys{}
	for part := range strings.SplitSeq(text, ",") {
		root, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		if err != nil || len(root) != 32 {
			return nil, errors.New("expected 32 bytes in base64, or several such, separated by commas")
		}
		sealing, err := hkdf.Key(sha256.New, root, nil, "carillon seal", 32)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		cookie, err := hkdf.Key(sha256.New, root, nil, "carillon cookie", 32)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		block, err := aes.NewCipher(sealing)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		k.sealing, k.cookies = append(k.sealing, aead), append(k.cookies, cookie)
	}
	return k, nil
}

// Cookies are the keys that sign cookies, in pairs with no encryption key, as gorilla/sessions takes them.
func (k *Keys) Cookies() [][]byte {
	var pairs [][]byte
	for _, key := range k.cookies {
		pairs = append(pairs, key, nil)
	}
	return pairs
}

// Seal encrypts a text for a purpose. Only Open with the same purpose decrypts it, so that a sealed text is useless in
// another column or row.
func (k *Keys) Seal(plain, purpose string) []byte {
	nonce := make([]byte, k.sealing[0].NonceSize())
	rand.Read(nonce) //nolint:errcheck // never fails, by its documentation
	return k.sealing[0].Seal(nonce, nonce, []byte(plain), []byte(purpose))
}

// Open decrypts a text that was sealed with any of the keys. Otherwise it returns ErrOpen.
func (k *Keys) Open(sealed []byte, purpose string) (string, error) {
	for _, aead := range k.sealing {
		if len(sealed) < aead.NonceSize() {
			break
		}
		nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
		if plain, err := aead.Open(nil, nonce, text, []byte(purpose)); err == nil {
			return string(plain), nil
		}
	}
	return "", ErrOpen
}

// Token makes a secret of 32 random bytes: 43 characters of base64url.
func Token() string {
	raw := make([]byte, 32)
	rand.Read(raw) //nolint:errcheck // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(raw)
}

// LoadOrCreate reads the secret in a file, or creates a file that only this user can read. It refuses a file that
// others can read.
func LoadOrCreate(path string) (string, error) {
	text, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	raw := make([]byte, 32)
	rand.Read(raw) //nolint:errcheck // never fails, by its documentation
	temp, err := os.CreateTemp(filepath.Dir(path), ".secret-*")
	if err != nil {
		return "", fmt.Errorf("make the secret: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(base64.StdEncoding.EncodeToString(raw) + "\n")
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return "", fmt.Errorf("make the secret: %w", err)
	}
	// Link, unlike rename, fails if another process was faster; then that process's secret is used.
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the secret: %w", err)
	}
	return load(path)
}

func load(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read the secret: %s can be read by others; run chmod 600 on it", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	if _, err := Parse(text); err != nil { // the error names the file
		return "", fmt.Errorf("read the secret: %s holds none: %w", path, err)
	}
	return text, nil
}

// StoredAs gives a hash of a sealed secret, which shows a change and nothing else.
func StoredAs(sealed []byte) string {
	sum := sha256.Sum256(sealed)
	return "stored (" + hex.EncodeToString(sum[:4]) + ")"
}
