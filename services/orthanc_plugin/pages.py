"""What the plugin adds to Orthanc Explorer: on the study page, where the analysis stands and the way to its result."""

EXPLORER_EXTENSION = """
$('#study').live('pagebeforeshow', function () {
  var words = {
    waiting: 'Waiting', running: 'Running', retrying: 'Will be tried again',
    done: 'Done', no_result: 'No result', failed: 'Failed'
  };
  var colours = { done: '#0b6e4f', running: '#005a9c', no_result: '#6b5900', failed: '#9a3c00' };
  var uuid = $.mobile.pageData.uuid;
  $('#articula').remove();
  var box = $('<div id="articula">').css({
    margin: '1em 0', padding: '.7em 1em', borderLeft: '4px solid #0072b2', background: '#fff', color: '#222'
  });
  $('#study-info').after(box.append('<b>Articula</b>'));
  var badge = $('<span id="articula-state">').text('Not analysed').css({
    marginLeft: '.6em', padding: '.1em .7em', borderRadius: '1em', background: '#555', color: '#fff',
    fontWeight: 'bold', textShadow: 'none'
  }).appendTo(box);
  $('<a id="articula-open">').attr('href', '../articula/studies/' + uuid).text('Show result').css({
    marginLeft: '.8em', padding: '.35em 1em', borderRadius: '.4em', background: '#0072b2', color: '#fff',
    fontWeight: 'bold', textDecoration: 'none', textShadow: 'none', display: 'inline-block'
  }).attr('target', '_self').attr('rel', 'external').appendTo(box);
  $('<a>').attr({ href: '../articula/', target: '_self', rel: 'external' }).text('Worklist')
    .css({ marginLeft: '.8em', color: '#00507d' }).appendTo(box);
  var reason = $('<div>').appendTo(box);
  $('<div>').css({ color: '#555', fontSize: '85%' }).text(
    'Research use only, not for diagnosis. Trained on synthetic data.').appendTo(box);
  $.getJSON('../articula/studies/' + uuid + '/status', function (status) {
    var stage = status.state === 'running' && status.stage ? ' (' + status.stage + ')' : '';
    badge.text((words[status.state] || status.state) + stage).css('background', colours[status.state] || '#555');
    if (status.code) {
      reason.text(status.code + (status.advice ? ': ' + status.advice : ''));
    }
  });
});
"""
