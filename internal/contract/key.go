package contract

import (
	"encoding/json"
	"errors"
	"fmt"
)

// KeyRequest asks for the key of one provider.
type KeyRequest struct {
	Provider string `json:"provider"`
	// Revision is that of the key which the sandbox has in place, and acknowledges by this; empty: none.
	Revision string `json:"revision,omitempty"`
}

// Key is the key of one provider, for a sandbox. It is never written anywhere but into the sandbox's memory.
type Key struct {
	Provider string   `json:"provider"`
	Delivery Delivery `json:"delivery"`
	Revision string   `json:"revision"`
	Value    string   `json:"value"`
}

// Neither error quotes what was read: there may be a key in it.
var (
	errNotAKeyRequest = errors.New("this is no request for the key of a provider")
	errNotAKey        = errors.New("this is no key with its revision")
)

// Encode is the request as it is sent.
func (r KeyRequest) Encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode a request for a key: %w", err)
	}
	return data, nil
}

// DecodeKeyRequest reads what Encode wrote.
func DecodeKeyRequest(data []byte) (KeyRequest, error) {
	var r KeyRequest
	if err := json.Unmarshal(data, &r); err != nil || r.Provider == "" {
		return KeyRequest{}, errNotAKeyRequest
	}
	return r, nil
}

// Encode is the key as it is sent.
func (k Key) Encode() ([]byte, error) {
	data, err := json.Marshal(k)
	if err != nil {
		return nil, errNotAKey
	}
	return data, nil
}

// DecodeKey reads what Encode wrote.
func DecodeKey(data []byte) (Key, error) {
	var k Key
	if err := json.Unmarshal(data, &k); err != nil || k.Provider == "" || k.Revision == "" || k.Value == "" {
		return Key{}, errNotAKey
	}
	return k, nil
}
