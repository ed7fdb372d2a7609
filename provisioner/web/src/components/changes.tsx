/** Objects before and after, field by field. */
import type { ObjectChange } from "../api/types";
import { State } from "./parts";

/** `all`: fields that stayed the same too. */
export function Changes({ changes, all }: { changes: readonly ObjectChange[]; all: boolean }) {
  return (
    <>
      {changes.map((change) => (
        <section key={`${change.kind} ${change.id} ${change.name}`} aria-label={`${change.kind} ${change.name}`}>
          <ObjectDiff change={change} all={all} />
        </section>
      ))}
    </>
  );
}

function ObjectDiff({ change, all }: { change: ObjectChange; all: boolean }) {
  const fields = change.fields.filter(({ changed }) => all || changed);
  if (fields.length === 0) {
    return (
      <p>
        {change.kind} <b className="break">{change.name}</b>: no field changed.
      </p>
    );
  }
  return (
    <table className="diff">
      <caption>
        {change.kind} <b className="break">{change.name}</b> <State state={change.state} />
      </caption>
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">Before</th>
          <th scope="col">After</th>
        </tr>
      </thead>
      <tbody>
        {fields.map(({ field, before, after, changed, derived }) => (
          <tr key={field}>
            <th scope="row">
              {field}
              {derived && <span className="muted" title="It follows from other things; an undo does not set it back"> (derived)</span>}
            </th>
            <td className={changed && before !== "" ? "was mono" : "mono"}>{before === "" ? "–" : before}</td>
            <td className={changed && after !== "" ? "is mono" : "mono"}>{after === "" ? "–" : after}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
