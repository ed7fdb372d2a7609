/** Published images: which one nodes boot, and which they never may again. */
import { useRef, useState } from "react";
import { api } from "../api/client";
import type { Image } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, Empty, Field, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { bytes, shortDigest } from "../lib/format";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { Rollouts, StartRolloutDialog } from "./rollouts";

type Choice = { verb: "activate" | "revoke" | "rollout"; image: Image } | { verb: "publish" } | null;

export function ImagesPage() {
  const { images, nodes } = useStore();
  const [choice, setChoice] = useState<Choice>(null);
  const noPublish = useWhyNot("publish", "image");
  const noActivate = useWhyNot("activate", "image");
  const noRevoke = useWhyNot("revoke", "image");
  if (!images) return <Loading />;
  const running = (digest: string) => (nodes ?? []).filter((node) => node.image === digest && node.state === "ready").length;
  const sortedImages = [...images].sort((a, b) => b.generation - a.generation);
  return (
    <>
      <header className="page-head">
        <h1>Images</h1>
        <p className="summary">{images.length} published</p>
        <button type="button" className="primary push" disabled={noPublish !== ""} title={noPublish} onClick={() => setChoice({ verb: "publish" })}>
          Publish…
        </button>
      </header>
      {images.length === 0 ? (
        <Empty title="No image is published">
          <p>Nodes boot nothing until an image is signed by enough holders, published and activated.</p>
          <CliHint command="weft image publish weft.efi --activate" />
        </Empty>
      ) : (
        <div className="rows" role="list" aria-label="Images">
          {sortedImages.map((image) => (
            <article className="row image-row" role="listitem" aria-label={image.name} key={image.digest}>
              <div className="cell-name">
                <b className="break">{image.name}</b>
                <State state={image.state} />
              </div>
              <div className="cell-hw">
                <span>
                  generation {image.generation}, floor {image.floor}
                </span>
                <span className="muted">
                  {bytes(image.size)} · {image.not_after === "" ? "no expiry" : `expires ${image.not_after.slice(0, 10)}`} · {nodesOf(running(image.digest))}
                </span>
              </div>
              <div className="cell-hw">
                <code title={image.digest}>{shortDigest(image.digest)}</code>
                <span className="muted">{image.signers.length === 0 ? "not signed" : <>signed by <span className="mono">{image.signers.map((signer) => signer.slice(0, 8)).join(", ")}</span></>}</span>
              </div>
              <div className="cell-act">
                <button type="button" disabled={image.state === "revoked" || image.state === "expired" || noActivate !== "" || (nodes ?? []).length === 0} title={noActivate || ((nodes ?? []).length === 0 ? "No node is there" : image.state === "revoked" || image.state === "expired" ? `It is ${image.state}` : "")} onClick={() => setChoice({ verb: "rollout", image })} aria-label={`Roll out ${image.name}`}>
                  Roll out…
                </button>
                <button type="button" disabled={image.state !== "published" || noActivate !== ""} title={noActivate || (image.state === "published" ? "" : `It is ${image.state}`)} onClick={() => setChoice({ verb: "activate", image })} aria-label={`Activate ${image.name}`}>
                  Activate…
                </button>
                <button type="button" disabled={image.state === "revoked" || noRevoke !== ""} title={noRevoke || (image.state === "revoked" ? "It is revoked" : "")} onClick={() => setChoice({ verb: "revoke", image })} aria-label={`Revoke ${image.name}`}>
                  Revoke…
                </button>
              </div>
            </article>
          ))}
        </div>
      )}
      <Rollouts />
      {choice?.verb === "rollout" && <StartRolloutDialog image={choice.image} nodes={nodes ?? []} onClose={() => setChoice(null)} />}
      {choice?.verb === "publish" && <PublishDialog onClose={() => setChoice(null)} />}
      {(choice?.verb === "activate" || choice?.verb === "revoke") && <ChangeDialog verb={choice.verb} image={choice.image} onClose={() => setChoice(null)} />}
    </>
  );
}

function nodesOf(count: number): string {
  return count === 0 ? "no node runs it" : count === 1 ? "1 node runs it" : `${count} nodes run it`;
}

function ChangeDialog({ verb, image, onClose }: { verb: "activate" | "revoke"; image: Image; onClose: () => void }) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const activate = verb === "activate";
  return (
    <Dialog
      title={activate ? `Activate ${image.name}` : `Revoke ${image.name}`}
      command={command("image", verb, image.digest.slice(0, 16))}
      action={activate ? "Activate" : "Revoke"}
      danger={!activate}
      onAction={async () => {
        const problem = await tryTo(() => (activate ? api.activate(image.digest) : api.revoke(image.digest)), `${image.name} is ${activate ? "active" : "revoked"}.`);
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      {activate ? (
        <p>
          Nodes that boot from now on start generation {image.generation}. Running nodes go on as they are until they restart. After
          that, generations below {image.floor} are refused by each node that has booted it.
        </p>
      ) : (
        <p>The appliance never serves this image again, and nodes refuse it. This cannot be taken back.</p>
      )}
      <p className="mono break">{image.digest}</p>
    </Dialog>
  );
}

function PublishDialog({ onClose }: { onClose: () => void }) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [file, setFile] = useState<File | null>(null);
  const [companion, setCompanion] = useState<File | null>(null);
  const [activate, setActivate] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  return (
    <Dialog
      title="Publish an image"
      command={command("image", "publish", file?.name ?? "FILE", ...(companion ? ["--bios", companion.name] : []), ...(activate ? ["--activate"] : []))}
      action="Publish"
      ready={file !== null}
      onAction={async () => {
        if (!file) return null;
        const problem = await tryTo(async () => {
          const image = await api.publish(file);
          if (companion) await api.companion(image.digest, companion);
          if (activate) await api.activate(image.digest);
        }, `${file.name} is published.`);
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      <p>The appliance checks signatures, expiry and floor before it takes an image; each node checks them again before it runs one.</p>
      <Field label="Signed image" hint={file ? bytes(file.size) : ""}>
        {(id, note) => <input id={id} ref={input} aria-describedby={note} type="file" autoFocus onChange={(event) => setFile(event.target.files?.[0] ?? null)} />}
      </Field>
      <Field label="Its companion for BIOS nodes" hint={companion ? bytes(companion.size) : "optional; without it, nodes that boot by BIOS find nothing"}>
        {(id, note) => <input id={id} aria-describedby={note} type="file" onChange={(event) => setCompanion(event.target.files?.[0] ?? null)} />}
      </Field>
      <label className="check">
        <input type="checkbox" checked={activate} onChange={(event) => setActivate(event.target.checked)} />
        Activate it: nodes boot it from now on
      </label>
    </Dialog>
  );
}
