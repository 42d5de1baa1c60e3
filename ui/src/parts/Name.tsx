// A name that breaks after its underscores, where it has to: flights_ then clean, not flights_cle then an.
import { Fragment } from "react";

export function Name({ of }: { of: string }) {
  return <>{of.split(/(?<=_)/).map((word, index) => <Fragment key={index}>{index > 0 && <wbr />}{word}</Fragment>)}</>;
}
