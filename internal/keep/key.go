package keep

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// MaxKeySize is the most that a key may have, in bytes. Servers refuse longer headers, and no provider has keys near it.
const MaxKeySize = 4096

// Malformed says what makes a value no key, such as "ends with a newline"; empty when it may be one. It says nothing of the value itself.
//
// A key is put into a header, so it must consist of visible ASCII characters (VCHAR of RFC 9110, section 5.5).
func Malformed(value []byte) string {
	trimmed := strings.TrimSpace(string(value))
	switch {
	case len(value) == 0:
		return "is empty"
	case trimmed == "":
		return "consists of blanks only"
	case len(value) > MaxKeySize:
		return "is too long for a key"
	case value[len(value)-1] == '\n':
		return "ends with a newline"
	case trimmed != string(value):
		return "begins or ends with a blank"
	case strings.ContainsAny(trimmed, " \t\r\n\v\f"):
		return "has a blank or a newline in it"
	case strings.ContainsFunc(trimmed, invisible):
		return "has a character in it that no header can carry"
	}
	return ""
}

func invisible(r rune) bool { return r <= ' ' || r >= 0x7f }

// TokenKindOf is the first of the kinds whose prefix a key has; nil when there is none.
func TokenKindOf(kinds []v1alpha1.TokenKind, key string) *v1alpha1.TokenKind {
	for i := range kinds {
		if strings.HasPrefix(key, kinds[i].Prefix) {
			return &kinds[i]
		}
	}
	return nil
}

// DenialOf is the condition reason for which a provider does not permit keys of a kind; empty where it does. A nil kind is none that the provider knows, and
// so none that it denies.
func DenialOf(kind *v1alpha1.TokenKind) string {
	switch {
	case kind == nil || kind.Policy != v1alpha1.TokenPolicyDeny:
		return ""
	case kind.Name == v1alpha1.TokenKindSubscription:
		return v1alpha1.ReasonSubscriptionTokenRefused
	}
	return v1alpha1.ReasonTokenKindDenied
}

// Revision identifies the key material in a Secret, for gateway and keeper alike. It is the Secret's resourceVersion: anything computed from the key,
// be it salted, would let whoever may read a status check guesses of a weak key. The price is that a change of the Secret's
// labels is a new revision too, which is also how an admin asks for another try of a key that was refused.
func Revision(secret *corev1.Secret) string { return secret.ResourceVersion }
