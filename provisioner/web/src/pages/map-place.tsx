/** Where a virtual processor or a VNIC goes: a processor, a port, a gateway port. The plan is the appliance's dry run. */
import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Problem, Target } from "../api/types";
import { Dialog } from "../components/dialog";
import { Loading } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { moving, nameOf, pinnedTo, placeCommand, plugTo, serverOf, targetKey, targetWords } from "../lib/topology";
import type { Index, Picked } from "../lib/topology";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { TargetList } from "./map-dialogs";

interface Props {
  all: Index;
  picked: Picked;
  /** Where it was dropped; null: to be chosen. */
  first: Target | null;
  onClose: () => void;
  onDone: () => Promise<void>;
}

export function PlaceDialog({ all, picked, first, onClose, onDone }: Props) {
  const { tryTo } = useToasts();
  const { refresh } = useStore();
  // As it is called when the dialog opens: that is what is meant.
  const [name] = useState(() => nameOf(all, picked));
  const [server] = useState(() => serverOf(all, picked)?.name ?? "");
  const [targets, setTargets] = useState<Target[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [chosen, setChosen] = useState<Target | null>(first);
  const [filter, setFilter] = useState("");
  const words = moving(picked);
  useEffect(() => {
    if (first) return;
    api.targets(picked.kind, picked.kind === "vcpu" ? name : picked.id).then(
      (answer) => setTargets(answer.targets),
      (error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        setProblem(error.problem);
      },
    );
  }, [picked.kind, picked.id, first, name]);
  const place = (dry: boolean) => (picked.kind === "vcpu" ? api.pinServer(server, pinnedTo(all, picked, chosen), dry) : api.editNet("vnics", picked.id, plugTo(chosen), dry));
  const said = usePlan(chosen ? () => place(true) : null, chosen ? targetKey(chosen) : "");
  return (
    <Dialog
      title={first ? `${words.verb} ${name} ${words.to} ${targetWords(first)}` : `${words.verb} ${name} ${words.to}…`}
      command={placeCommand(all, picked, chosen)}
      action={words.verb}
      ready={said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => place(false), `${name} ${words.done} ${chosen ? targetWords(chosen) : ""}.`);
        await Promise.all([onDone(), refresh()]);
        return refused;
      }}
      onClose={onClose}
    >
      {!first && (targets ? <TargetList targets={targets} chosen={chosen} filter={filter} onFilter={setFilter} onChoose={setChosen} /> : problem ? null : <Loading />)}
      <PlanView plan={said.plan} problem={problem ?? said.problem} asked={chosen !== null} />
    </Dialog>
  );
}
