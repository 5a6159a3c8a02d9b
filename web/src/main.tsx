import { render } from "preact";
import "./style/page.css";
import { guardDrafts } from "./state/drafts";
import { takeKeyFromLink } from "./state/key";
import { App } from "./view/App";

takeKeyFromLink();
guardDrafts();
const root = document.querySelector<HTMLMetaElement>('meta[name="api-root"]')?.content ?? "";
render(<App root={root} />, document.getElementById("app")!);
