// Package environment makes what an agent finds around itself: its environment variables and the files that tell it about
// its providers. One function builds all of it, so that there is no second place to forget something in.
package environment

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// ownPrefix begins the variables that are meant for sandboxd.
const ownPrefix = "SANDKEEP_"

// Key is one delivered key and where it is.
type Key struct {
	// Value is the key itself; empty in a delivery that hands out none.
	Value string
	// Path is the file that holds it, for File delivery.
	Path string
}

// Built is what an agent gets.
type Built struct {
	// Env are NAME=value, sorted by name.
	Env []string
	// Files are written to the private directory and linked from the agent's home.
	Files []contract.FileSpec
}

// Place is where an agent is.
type Place struct {
	Home, Workspace string
	// Door is the address at which it reaches the providers of DeliveryProxy.
	Door string
}

// Build makes an agent's surroundings. Later sources win over earlier ones: the image's variables, the class's and the
// session's, then those of the credentials. What belongs to sandboxd, and every provider's credential variables, are taken
// out before the credentials come in, whatever brought them, so that exactly one credential of a provider reaches the agent.
func Build(image []string, c contract.Config, keys []Key, place Place) Built {
	env := map[string]string{}
	for _, variable := range image {
		if name, value, ok := strings.Cut(variable, "="); ok && name != "" {
			env[name] = value
		}
	}
	for _, variable := range c.Env {
		env[variable.Name] = variable.Value
	}
	for name := range env {
		if strings.HasPrefix(name, ownPrefix) || slices.Contains(c.UnsetEnv, name) {
			delete(env, name)
		}
	}
	var files []contract.FileSpec
	for i, credential := range c.Credentials {
		key := keys[i]
		if credential.Delivery == contract.DeliveryProxy {
			credential.BaseURL, key.Value = "http://"+place.Door+"/"+credential.Provider, contract.Placeholder
		}
		files = append(files, tell(credential, key, env)...)
	}
	if slices.ContainsFunc(c.Credentials, func(c contract.Credential) bool { return c.Delivery == contract.DeliveryProxy }) {
		bypassProxies(env)
	}
	env["HOME"], env["WORKSPACE"] = place.Home, place.Workspace
	return Built{Env: list(env), Files: merged(files)}
}

// merged makes one file of those with one path: an agent keeps what it knows of several providers in a single JSON file. Of
// files that are no JSON objects the last wins.
func merged(files []contract.FileSpec) []contract.FileSpec {
	var out []contract.FileSpec
	for _, file := range files {
		i := slices.IndexFunc(out, func(f contract.FileSpec) bool { return path.Clean(f.Path) == path.Clean(file.Path) })
		if i < 0 {
			out = append(out, file)
			continue
		}
		out[i].Content = mergedJSON(out[i].Content, file.Content)
	}
	return out
}

func mergedJSON(first, second string) string {
	var a, b map[string]any
	if json.Unmarshal([]byte(first), &a) != nil || json.Unmarshal([]byte(second), &b) != nil {
		return second
	}
	data, err := json.Marshal(overlay(a, b))
	if err != nil {
		return second
	}
	return string(data)
}

// overlay puts b's fields over a's, object by object.
func overlay(a, b map[string]any) map[string]any {
	for key, value := range b {
		below, isObject := a[key].(map[string]any)
		above, alsoObject := value.(map[string]any)
		if isObject && alsoObject {
			value = overlay(below, above)
		}
		a[key] = value
	}
	return a
}

// The words that stand for a credential.
const (
	apiKeyWord  = "$(API_KEY)"
	keyFileWord = "$(API_KEY_FILE)"
	baseURLWord = "$(BASE_URL)"
)

// tell adds what one credential tells the agent to env, and returns its files.
func tell(c contract.Credential, key Key, env map[string]string) []contract.FileSpec {
	words := strings.NewReplacer(apiKeyWord, key.Value, keyFileWord, key.Path, baseURLWord, strings.TrimRight(c.BaseURL, "/"))
	for _, variable := range c.Env {
		if applies(variable.Value, c.Delivery, contract.DeliveryEnv, contract.DeliveryProxy) {
			env[variable.Name] = words.Replace(variable.Value)
		}
	}
	var files []contract.FileSpec
	for _, file := range c.Files {
		if applies(file.Content, c.Delivery, contract.DeliveryFile) {
			files = append(files, contract.FileSpec{Path: file.Path, Content: words.Replace(file.Content)})
		}
	}
	return files
}

// applies decides whether a text is used: one that holds the key only in deliveries of its own kind (and variables with the
// placeholder in the key's place, because agents want to see one), one that names the key's file only where there is one, any other
// always.
func applies(text string, delivery contract.Delivery, kinds ...contract.Delivery) bool {
	switch {
	case strings.Contains(text, apiKeyWord):
		return slices.Contains(kinds, delivery)
	case strings.Contains(text, keyFileWord):
		return delivery == contract.DeliveryFile
	default:
		return true
	}
}

// loopback is what must never be asked of a proxy: the door is there.
var loopback = []string{"127.0.0.1", "localhost"}

// bypassProxies keeps requests to the door from the proxies that a class or an image may have set. Programs read the exceptions in
// either spelling, and some take the first that is there, so both get all of them.
func bypassProxies(env map[string]string) {
	if !hasProxy(env) {
		return
	}
	upper, lower := env["NO_PROXY"], env["no_proxy"]
	env["NO_PROXY"], env["no_proxy"] = withLoopback(cmp.Or(upper, lower)), withLoopback(cmp.Or(lower, upper))
}

func hasProxy(env map[string]string) bool {
	for name, value := range env {
		if name = strings.ToUpper(name); value != "" && strings.HasSuffix(name, "_PROXY") && name != "NO_PROXY" {
			return true
		}
	}
	return false
}

// withLoopback adds to a list of exceptions. An asterisk excepts everything, but only where it stands alone.
func withLoopback(exceptions string) string {
	if strings.TrimSpace(exceptions) == "*" {
		return exceptions
	}
	var hosts []string
	if exceptions != "" {
		hosts = strings.Split(exceptions, ",")
	}
	for _, host := range loopback {
		if !slices.ContainsFunc(hosts, func(h string) bool { return strings.TrimSpace(h) == host }) {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",")
}

func list(env map[string]string) []string {
	variables := make([]string, 0, len(env))
	for name, value := range env {
		variables = append(variables, name+"="+value)
	}
	slices.Sort(variables)
	return variables
}

// Keys finds the keys that the kubelet has brought, by the numbers of their credentials; of those that are still to come from the gateway it says
// where their files will be. readFile reads a file of the credentials' directory.
func Keys(image []string, credentials []contract.Credential, pathOf func(contract.Credential) string, readFile func(name string) ([]byte, error)) ([]Key, error) {
	keys := make([]Key, len(credentials))
	for i, c := range credentials {
		if c.Delivery == contract.DeliveryFile {
			keys[i].Path = pathOf(c)
		}
		if !c.ByReference() {
			continue
		}
		if keys[i].Path == "" {
			keys[i].Value = lookup(image, contract.APIKeyEnv(i))
		} else if data, err := readFile(keys[i].Path); err == nil {
			keys[i].Value = strings.TrimSpace(string(data))
		}
		if keys[i].Value == "" {
			return nil, fmt.Errorf("the key of provider %s is empty or was not delivered; check key %q of Secret %q", c.Provider, c.SecretKey, c.SecretName)
		}
	}
	return keys, nil
}

// lookup finds a variable; a line break at the end of a key is not part of it.
func lookup(env []string, name string) string {
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
