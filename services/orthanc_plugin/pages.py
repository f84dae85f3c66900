"""What the plugin adds to Orthanc Explorer: one line on the study page that says where the analysis stands."""

EXPLORER_EXTENSION = """
$('#study').live('pagebeforeshow', function () {
  var words = {
    waiting: 'waiting for the study to be complete', running: 'running', retrying: 'will be tried again',
    done: 'results are attached to this study', no_result: 'no result', failed: 'failed'
  };
  $('#articula').remove();
  var box = $('<div id="articula">').css({
    margin: '1em 0', padding: '.7em 1em', borderLeft: '4px solid #0072b2', background: '#fff'
  });
  $('#study-info').after(box.append('<b>Articula</b>'));
  var line = $('<span style="margin-left:.6em">').text('not analysed').appendTo(box);
  $('<div style="color:#555;font-size:85%">').text(
    'Research use only, not for diagnosis. Trained on synthetic data.').appendTo(box);
  $.getJSON('../articula/studies/' + $.mobile.pageData.uuid, function (status) {
    var stage = status.state === 'running' && status.stage ? ' (' + status.stage + ')' : '';
    line.text((words[status.state] || status.state) + stage);
    if (status.code) {
      $('<div>').text(status.code + (status.advice ? ': ' + status.advice : '')).insertAfter(line);
    }
  });
});
"""
