/** A name on the map that leads to its object. */
import type { ReactNode } from "react";
import { nameOf } from "../lib/topology";
import type { Index, Picked } from "../lib/topology";

export function Jump({ all, to, onPick, children }: { all: Index; to: Picked; onPick: (picked: Picked) => void; children?: ReactNode }) {
  const name = nameOf(all, to);
  if (name === "") return <span className="muted">one that you may not see{children}</span>;
  return (
    <span>
      <button type="button" className="map-jump" onClick={() => onPick(to)}>
        {name}
      </button>
      {children}
    </span>
  );
}
