package db

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// Fingerprint is a short text that differs where what it is made of does. It stands for a version of what has no column
// for one.
func Fingerprint(of ...any) string {
	raw, err := json.Marshal(of)
	if err != nil {
		panic(err) // something that is no JSON was given
	}
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
