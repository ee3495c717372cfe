package db

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// Fingerprint is a short hash of values. It serves as the version of a record that has no column for a version.
func Fingerprint(of ...any) string {
	raw, err := json.Marshal(of)
	if err != nil {
		panic(err) // a value cannot be encoded as JSON
	}
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
