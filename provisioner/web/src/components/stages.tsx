/** Boot stages as a row of marks (progress) and as bars (time). */
import type { BootStage, Node } from "../api/types";
import { span } from "../lib/format";
import { axisEnd, progress, segments, stageIndex, stageWords, STAGES, totalMs } from "../lib/stages";
import { href } from "../lib/route";

export function StageProgress({ node }: { node: Pick<Node, "state" | "stages"> }) {
  const { reached, of, last, done } = progress(node.stages);
  const away = node.state === "lost" || node.state === "conflict";
  const words = last !== "" ? stageWords(last) : away ? "last boot not known" : "nothing seen yet";
  return (
    <div className="stage-progress">
      <div
        className={`marks ${done ? "done" : away ? "away" : "moving"}`}
        role="progressbar"
        aria-label="Boot stages"
        aria-valuemin={0}
        aria-valuemax={of}
        aria-valuenow={reached}
        aria-valuetext={`${reached} of ${of}: ${words}`}
      >
        {STAGES.map((stage, index) => (
          <i key={stage} className={index < reached ? "on" : index === reached && !done && !away ? "next" : ""} />
        ))}
      </div>
      <span className="stage-words">{done ? `booted in ${span(totalMs(node.stages))}` : words}</span>
    </div>
  );
}

/** Which of the nine colours a stage has. */
function hue(stage: string): string {
  return `hue-${Math.min(stageIndex(stage), STAGES.length - 1)}`;
}

function Bar({ stages, end }: { stages: BootStage[]; end: number }) {
  return (
    <div className="bar" aria-hidden="true">
      {segments(stages).map(({ stage, ms, at }) => (
        <i
          key={stage}
          className={hue(stage)}
          style={{ width: `${(ms / end) * 100}%` }}
          title={`${stageWords(stage)}: ${span(ms)}, at ${span(at)}`}
        />
      ))}
    </div>
  );
}

/** One bar per node; a table for those who do not see bars. */
export function StageChart({ nodes }: { nodes: Pick<Node, "name" | "stages">[] }) {
  const shown = nodes.filter(({ stages }) => stages.length > 1);
  if (shown.length === 0) return <p className="muted">No boot has been timed yet.</p>;
  const end = axisEnd(Math.max(...shown.map(({ stages }) => totalMs(stages))));
  const seen = STAGES.filter((stage) => shown.some(({ stages }) => stages.some((one) => one.stage === stage)));
  return (
    <figure className="stage-chart">
      <div className="stage-rows">
        {shown.map(({ name, stages }) => (
          <div className="stage-row" key={name}>
            <a href={href({ page: "node", name })}>{name}</a>
            <Bar stages={stages} end={end} />
            <span className="num">{span(totalMs(stages))}</span>
          </div>
        ))}
        <div className="stage-row axis" aria-hidden="true">
          <span />
          <div className="axis-line">
            {[0, 0.25, 0.5, 0.75, 1].map((part) => (
              <span key={part} style={{ left: `${part * 100}%` }}>
                {span(end * part)}
              </span>
            ))}
          </div>
          <span />
        </div>
      </div>
      <figcaption>
        {seen.map((stage) => (
          <span key={stage} className="key">
            <i className={hue(stage)} aria-hidden="true" />
            {stageWords(stage)}
          </span>
        ))}
      </figcaption>
      <div className="sr-only"><table>
        <caption>Time of each boot stage since the first, per node</caption>
        <thead>
          <tr>
            <th scope="col">Node</th>
            {seen.map((stage) => (
              <th scope="col" key={stage}>
                {stageWords(stage)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map(({ name, stages }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {seen.map((stage) => {
                const found = stages.find((one) => one.stage === stage);
                return <td key={stage}>{found ? span(found.since_first_ms) : "not reached"}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table></div>
    </figure>
  );
}
