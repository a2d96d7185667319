package keep

import (
	"fmt"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// PutEntry is the command that puts $KEY into one entry of a Secret that exists, and leaves its other entries alone. The key stays out of arguments, which
// others can read, and no newline gets to its end.
func PutEntry(namespace string, ref v1alpha1.SecretKeyReference) string {
	return fmt.Sprintf(`printf '{"data":{"%s":"%%s"}}' "$(printf %%s "$KEY" | base64 | tr -d '\n')" | kubectl -n %s patch secret %s --patch-file=/dev/stdin`,
		ref.Key, namespace, ref.Name)
}
