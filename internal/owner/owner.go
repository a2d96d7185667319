// Package owner says what a Session's owner would have to be permitted, and how the API server is asked about it. It is pure.
package owner

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Verb is what an owner needs on the objects of admins that a Session uses.
const Verb = "use"

// Use is the use of an object that an admin made. Its objects belong to the whole cluster, and so does the right to use them: what somebody may do in
// a namespace alone, be it everything, is not enough.
type Use struct {
	// Kind and Resource are the two names of its Kind.
	Kind, Resource string
	Name           string
}

// Class is the use of a SessionClass.
func Class(name string) Use { return Use{"SessionClass", "sessionclasses", name} }

// ClusterCredential is the use of a ClusterCredential.
func ClusterCredential(name string) Use {
	return Use{string(v1alpha1.CredentialKindClusterCredential), "clustercredentials", name}
}

// shortNames tell in the names of roles what these are about.
var shortNames = map[string]string{"sessionclasses": "class", "clustercredentials": "credential"}

// Names of users and groups that the API server gives by itself (https://kubernetes.io/docs/reference/access-authn-authz/authentication/).
const (
	accountPrefix   = "system:serviceaccount:"
	allAccounts     = "system:serviceaccounts"
	authenticated   = "system:authenticated"
	unauthenticated = "system:unauthenticated"
)

// Groups are those of an owner, with those that the API server puts everybody in: an owner whom somebody else named has them as well.
func Groups(o v1alpha1.Owner) []string {
	groups := slices.Clone(o.Groups)
	if slices.Contains(groups, unauthenticated) {
		return groups
	}
	implied := []string{authenticated}
	if namespace, _, ok := account(o.Username); ok {
		implied = append(implied, allAccounts, allAccounts+":"+namespace)
	}
	for _, g := range implied {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// account takes the username of a service account apart.
func account(username string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(username, accountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok
}

// Review is the question to the API server whether an owner may use something.
func Review(o v1alpha1.Owner, u Use) *authorizationv1.SubjectAccessReview {
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: o.Username, Groups: Groups(o),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: Verb, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: u.Resource, Name: u.Name,
		},
	}}
}

// Denied tells the user that a Session may not use something, and an admin which commands would permit it.
func Denied(o *v1alpha1.Owner, u Use) string {
	if o == nil {
		return fmt.Sprintf("The Session has no owner (spec.owner), and so may not use %s %q: it was made while Sandkeep's admission policies were not in force; "+
			"ask an admin to apply them, and make a new Session", u.Kind, u.Name)
	}
	role := "sandkeep-" + shortNames[u.Resource] + "-" + u.Name
	// kubectl create clusterrole takes the verb "use" for its own resources only. What is too long for a condition is cut at its end: then the name of a
	// role, and not that of somebody else.
	return fmt.Sprintf("%s may not use %s %q; ask an admin to run `"+
		`echo '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"%s"},`+
		`"rules":[{"apiGroups":["%s"],"resources":["%s"],"resourceNames":["%s"],"verbs":["%s"]}]}' | kubectl apply -f - && `+
		"kubectl create clusterrolebinding %s-%.4x %s --clusterrole=%s`",
		subject(o.Username), u.Kind, u.Name, role, v1alpha1.GroupVersion.Group, u.Resource, u.Name, Verb,
		role, sha256.Sum256([]byte(o.Username)), flag(o.Username), role)
}

// subject names somebody for people.
func subject(username string) string {
	if namespace, name, ok := account(username); ok {
		return fmt.Sprintf("ServiceAccount %q of namespace %q", name, namespace)
	}
	return fmt.Sprintf("User %q", username)
}

// flag names somebody for kubectl.
func flag(username string) string {
	if namespace, name, ok := account(username); ok {
		return "--serviceaccount=" + word(namespace+":"+name)
	}
	return "--user=" + word(username)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// word is a text as one word of a shell (POSIX.1-2024, section 2.2.2): somebody else chose it, and it is meant to be copied by an admin.
func word(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
